"""What an export asks the service for, and how far an answer came. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import quote


class ExportFormat(StrEnum):
    """What runs are written as."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    NDJSON = "ndjson"


class Shape(StrEnum):
    """A row a step with a column a key, or a row a value."""

    WIDE = "wide"
    LONG = "long"


MEDIA_TYPES: Final = {
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.ARROW: "application/vnd.apache.arrow.stream",
    ExportFormat.CSV: "text/csv",
    ExportFormat.NDJSON: "application/x-ndjson",
}

_BATCH_ROWS: Final = 131_072
"""Rows of a record batch at most: what is lost at most when an export is killed."""


class Place(NamedTuple):
    """Where the last row that was received lies; `kind` and `key` of a long scan's."""

    step: int
    kind: str = ""
    key: str = ""

    def cursor(self, offset: int) -> str:
        """Return the service's cursor for what lies behind, of an answer complete to `offset`."""
        value = f"{self.kind}:{quote(self.key, safe='')}:" if self.kind else ""
        return f"{value}{self.step + 1}@{offset}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of every run; `parameters` are those of the service's scan."""

    fmt: ExportFormat
    shape: Shape = Shape.WIDE
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def received_as(self) -> ExportFormat:
        """What the service is asked to send: tables are made of Arrow, which can be cut at any batch."""
        return ExportFormat.NDJSON if self.fmt is ExportFormat.NDJSON else ExportFormat.ARROW

    def query(self, fmt: ExportFormat, **more: Any) -> dict[str, Any]:
        """Return the query of a scan."""
        return {**self.parameters, "shape": str(self.shape), "format": str(fmt), "page_size": _BATCH_ROWS, **more}

    def as_json(self) -> dict[str, Any]:
        """Return what tells one export from another."""
        return asdict(self)
