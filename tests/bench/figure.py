"""A measured figure with its anchor, the table of many, and their JSON for a chart over commits.

`python -m bench.figure figures.json` prints the table of such a file as Markdown.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rich.table import Table

Measure = Literal["processor", "clock", "bytes"]
"""The source of a figure: time of processors (all threads of a process), time by the clock, or a size."""

_TITLE: Final = "Figures, each with an anchor that was measured in the same run"
_THREE_DIGITS: Final = 100


class Figure(NamedTuple):
    """A measured value and its anchor, which are of the same unit.

    Attributes:
        name: the work, and the key of the figure over commits.
        unit: of both values.
        measured: the value of Stepwell.
        anchor: the work, or the limit, that it is compared with.
        anchored: the value of the anchor.
        by: the source of both values.
        rate: True where more is better, as for points a second.
    """

    name: str
    unit: str
    measured: float
    anchor: str
    anchored: float
    by: Measure
    rate: bool = False

    @property
    def ratio(self) -> float:
        """The measured value in multiples of the anchor."""
        return self.measured / self.anchored


class Circumstances(NamedTuple):
    """The commit that was measured, the time in seconds since the epoch, and the machine with its load."""

    commit: str
    time: int
    cores: int
    load_before: float
    load_after: float


def make_table(figures: Sequence[Figure]) -> Table:
    """Return the table of figures, in their order."""
    table = Table("figure", "by", title=_TITLE)
    for column in ("measured", "anchor", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("anchor is")
    for figure in figures:
        values = (f"{format_value(value)} {figure.unit}" for value in (figure.measured, figure.anchored))
        table.add_row(figure.name, figure.by, *values, format_value(figure.ratio), figure.anchor)
    return table


def make_markdown(figures: Sequence[Figure]) -> str:
    """Return the same table as Markdown."""
    lines = ["| figure | by | measured | anchor | ratio |", "|---|---|---|---|---|"]
    for figure in figures:
        anchor = f"{format_value(figure.anchored)} {figure.unit}: {figure.anchor}"
        values = (figure.name, figure.by, f"{format_value(figure.measured)} {figure.unit}", anchor)
        lines.append(f"| {' | '.join(values)} | {format_value(figure.ratio)} |")
    return "\n".join(lines)


def make_document(figures: Sequence[Figure], circumstances: Circumstances | None = None) -> str:
    """Return figures as JSON, with the circumstances of a whole table."""
    rows = [figure._asdict() | {"ratio": figure.ratio} for figure in figures]
    known = circumstances._asdict() if circumstances else {}
    return json.dumps(known | {"figures": rows}, indent=1, ensure_ascii=False) + "\n"


def parse_figures(text: str) -> list[Figure]:
    """Return the figures of a document."""
    fields = set(Figure._fields)
    rows = json.loads(text)["figures"]
    return [Figure(**{name: value for name, value in row.items() if name in fields}) for row in rows]


def format_value(value: float) -> str:
    """Return a value with three significant digits, or with all that stand before the point."""
    return f"{value:,.0f}" if value >= _THREE_DIGITS else f"{value:#.3g}"


def read_load() -> float:
    """Return the machine's load of the last minute."""
    return os.getloadavg()[0]


if __name__ == "__main__":
    print(make_markdown(parse_figures(Path(sys.argv[1]).read_text("utf-8"))))
