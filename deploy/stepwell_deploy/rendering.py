"""Texts of the terminal: tables of runs and rows, and numbers with their nouns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_UNIT: Final = 1_024
_SHOWN_SUMMARY_KEYS: Final = 4
_SHORT_CHARS: Final = 24
_GAP: Final = 2
"""Blank columns between two columns of a table without lines."""


def runs_table(runs: list[dict[str, Any]]) -> Table:
    """Return runs as a table: path, state, steps, and the requested columns or the first summary values."""
    table = Table(box=None, pad_edge=False)
    for column, justify in (("run", "left"), ("name", "left"), ("state", "left"), ("last step", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
    chosen = list(dict.fromkeys(name for run in runs for name in run.get("values", ())))
    for name in chosen or ["summary"]:
        table.add_column(Text(name), overflow="fold")
    for run in runs:
        if "values" in run:
            values = [_short(run["values"][name]) if name in run["values"] else "" for name in chosen]
        else:
            values = [summary_text(run["summary"])]
        cells = (run["path"], run["name"], run["state"], f"{run['last_step']:,}", *values)
        table.add_row(*map(Text, cells))
    return table


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the first values of a summary as a line; those that are longer than a number come last."""
    first = sorted(summary.items(), key=lambda item: isinstance(item[1], dict | list))[:_SHOWN_SUMMARY_KEYS]
    return "  ".join(f"{key} {_short(value)}" for key, value in first)


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else value_text(value)
    return text if len(text) <= _SHORT_CHARS else f"{text[: _SHORT_CHARS - 1]}…"


def value_text(value: Any) -> str:
    """Return a value of a row or a summary as text: media by their type and size, all else as JSON writes it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return _media_text(value) or json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _media_text(reference: Mapping[str, Any]) -> str:
    """Return the description of a reference to media, "" for any other object; docs/data-types.md lists the forms."""
    items = reference.get("items")
    if isinstance(items, list) and items and isinstance(items[0], dict):
        text = _media_text(items[0])
        return f"{len(items):,} × {text}" if text else ""
    if "bins" in reference and "counts" in reference:
        return f"histogram of {len(reference['counts']):,} bins"
    if "sha256" not in reference:
        return ""
    if "column_types" in reference:
        return f"table of {reference.get('rows', 0):,} rows"
    size = f" {reference['width']}×{reference['height']}" if {"width", "height"} <= reference.keys() else ""
    return f"{reference.get('content_type', 'file')}{size}"


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return rows as a table; columns of numbers are aligned to the right."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, _texts(row)))
    return table


def rows_within(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> RenderableType:
    """Return rows as a table if it fits into a width, otherwise each row as a list of its columns."""
    cells = [columns, *(_texts(row) for row in rows)]
    widths = [max(_width(line[index]) for line in cells) for index in range(len(columns))]
    if not rows or sum(widths) + _GAP * (len(widths) - 1) <= width:
        return rows_table(columns, rows)
    return Group(*(_record(number, columns, row) for number, row in enumerate(rows, start=1)))


def _record(number: int, columns: Sequence[str], row: Sequence[Any]) -> Text:
    indent = max(map(cell_len, columns)) + _GAP
    heading = f"row {number:,}"
    lines = [f"{name}:{' ' * (indent - cell_len(name))}{text}" for name, text in zip(columns, _texts(row), strict=True)]
    return Text("\n".join([heading, "─" * len(heading), *lines, ""]), overflow="fold", no_wrap=False)


def _texts(row: Sequence[Any]) -> list[str]:
    return ["" if value is None else value_text(value) for value in row]


def _width(text: str) -> int:
    return max(map(cell_len, text.splitlines() or [""]))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_amounts(tables: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each table with its rows and bytes."""
    return [
        f"  {table:<20}{amounts['rows']:>16,} rows{format_size(amounts['bytes']):>14}"
        for table, amounts in tables.items()
    ]


def format_size(count: float) -> str:
    """Return a number of bytes in a unit that makes it short."""
    unit = 0
    while count >= _UNIT and unit < len(_UNITS) - 1:
        count, unit = count / _UNIT, unit + 1
    return f"{count:,.0f} {_UNITS[unit]}" if unit == 0 else f"{count:,.1f} {_UNITS[unit]}"
