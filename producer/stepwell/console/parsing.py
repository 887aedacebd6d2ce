"""Console lines, made of the rows that the service stores of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepwell_schemas.rules.streams import CONSOLE

_PREFIX: Final = f"{CONSOLE}/"


class ConsoleLine(NamedTuple):
    """A line that a run printed.

    Attributes:
        number: counted over all of a writer's output. time: when it ended, in seconds since the epoch.
        stream: `stdout` or `stderr`, behind the writer's name where it has one: `rank1/stdout`.
    """

    number: int
    time: float
    stream: str
    text: str


def lines_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[ConsoleLine]:
    """Yield the lines that rows of the console's stream hold, in their order."""
    for row in rows:
        for key, text in row.items():
            if key.startswith(_PREFIX):
                yield ConsoleLine(int(row["_step"]), float(row["_timestamp"]), key.removeprefix(_PREFIX), str(text))


def first_of_last(metrics: Iterable[Mapping[str, Any]], lines: int) -> int:
    """Return the number of the first of the last `lines` lines, by a run's list of metrics."""
    last = max((metric["last_step"] for metric in metrics if metric.get("stream") == CONSOLE), default=-1)
    return max(int(last) + 1 - max(lines, 0), 0)
