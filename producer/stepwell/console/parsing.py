"""Console lines from rows of the console stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepwell_schemas.rules.streams import CONSOLE

_PREFIX: Final = f"{CONSOLE}/"


class ConsoleLine(NamedTuple):
    """A line that a run printed.

    Attributes:
        number: its number in the writer's output. time: its end, in seconds since the epoch.
        stream: `stdout` or `stderr`, after the writer's name if it has one: `rank1/stdout`.
    """

    number: int
    time: float
    stream: str
    text: str


def parse_console_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[ConsoleLine]:
    """Yield the lines in rows of the console stream, in order."""
    for row in rows:
        for key, text in row.items():
            if key.startswith(_PREFIX):
                yield ConsoleLine(int(row["_step"]), float(row["_timestamp"]), key.removeprefix(_PREFIX), str(text))


def tail_start(metrics: Iterable[Mapping[str, Any]], lines: int) -> int:
    """Return the number of the first of the last `lines` lines, from a run's list of metrics."""
    last = max((metric["last_step"] for metric in metrics if metric.get("stream") == CONSOLE), default=-1)
    return max(int(last) + 1 - max(lines, 0), 0)
