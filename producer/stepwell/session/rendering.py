"""A run as HTML, for notebooks: a link to its page, and small charts of what this process has logged.

Everything is inline, without scripts, frames and external files: JupyterLab and VS Code show it alike, also if the page
can't be reached from the browser. Names come from users, and are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

_WIDTH: Final = 180
_HEIGHT: Final = 60
_PADDING: Final = 3
_NAME_CHARS: Final = 80
_VALUES_AT_MOST: Final = 12

Points = Sequence[tuple[int, float]]


def render_run(
    name: str, url: str, status: str, curves: Iterable[tuple[str, Points]], summary: Mapping[str, Any]
) -> str:
    """Return a run as HTML.

    Args:
        url: the address of its page, "" if it has none. status: a line of text.
        curves: keys and points of the charts. summary: values that are shown as text if they have no chart.
    """
    title = escape(_shorten(name))
    if url.startswith(("http://", "https://")):
        title = f'<a href="{escape(url)}" target="_blank" rel="noopener">{title}</a>'
    charts = [(key, chart) for key, points in curves if (chart := _chart(points))]
    drawn = {key for key, _ in charts}
    figures = "".join(_figure(key, chart, summary.get(key)) for key, chart in charts)
    texts = [(key, value) for key, value in summary.items() if key not in drawn][:_VALUES_AT_MOST]
    shown = "".join(f"<div>{escape(_shorten(key))}: {escape(_shorten(_text(value)))}</div>" for key, value in texts)
    return (
        f'<div style="font-family:sans-serif;font-size:13px"><div><b>{title}</b> · {escape(status)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:12px">{figures}</div>{shown}</div>'
    )


def _figure(key: str, chart: str, value: Any) -> str:
    last = "" if value is None else f" {escape(_shorten(_text(value)))}"
    return f'<div><div>{escape(_shorten(key))}<span style="opacity:.7">{last}</span></div>{chart}</div>'


def _chart(points: Points) -> str:
    """Return the SVG of a series; "" if it has no finite value. NaN and the infinities are gaps."""
    finite = [value for _, value in points if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    first, last = points[0][0], points[-1][0]
    parts: list[list[str]] = [[]]
    for step, value in points:
        if not math.isfinite(value):
            parts.append([])
            continue
        x = _place(step, first, last, _WIDTH)
        parts[-1].append(f"{x:.1f},{_HEIGHT - _place(value, low, high, _HEIGHT):.1f}")
    lines = "".join(_line(part) for part in parts if part)
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{lines}</svg>'


def _line(places: list[str]) -> str:
    if len(places) == 1:
        x, y = places[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="2" fill="#3b82f6"/>'
    return f'<polyline points="{" ".join(places)}" fill="none" stroke="#3b82f6" stroke-width="1.5"/>'


def _place(value: float, low: float, high: float, size: int) -> float:
    """Return the place of a value on an axis; of a value alone, the middle."""
    # Halves, since the distance of two floats may pass the range of float64.
    extent = high / 2 - low / 2
    share = (value / 2 - low / 2) / extent if extent else 0.5
    return _PADDING + share * (size - 2 * _PADDING)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _NAME_CHARS else f"{text[: _NAME_CHARS - 1]}…"
