"""Requests of an export to the service, and positions within their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import quote


class ExportFormat(StrEnum):
    """File format of an export."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    NDJSON = "ndjson"


class RowShape(StrEnum):
    """Layout of the rows: one row per step with a column per key, or one row per value."""

    WIDE = "wide"
    LONG = "long"


MEDIA_TYPES: Final = {
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.ARROW: "application/vnd.apache.arrow.stream",
    ExportFormat.CSV: "text/csv",
    ExportFormat.NDJSON: "application/x-ndjson",
}

_BATCH_ROWS: Final = 131_072
"""Maximum rows of a record batch, and so the maximum that is lost when an export is killed."""


class Position(NamedTuple):
    """Position of the last received row; `kind` and `key` are set for long scans."""

    step: int
    kind: str = ""
    key: str = ""

    def cursor(self, offset: int) -> str:
        """Return the service's cursor for the rows after this position, in an answer complete up to `offset`."""
        value = f"{self.kind}:{quote(self.key, safe='')}:" if self.kind else ""
        return f"{value}{self.step + 1}@{offset}"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Request for the rows of every run; `parameters` are those of the service's scan."""

    fmt: ExportFormat
    shape: RowShape = RowShape.WIDE
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def received_as(self) -> ExportFormat:
        """Format that the service sends: files of tables are built from Arrow, which can be split at any batch."""
        return ExportFormat.NDJSON if self.fmt is ExportFormat.NDJSON else ExportFormat.ARROW

    def query(self, fmt: ExportFormat, **more: Any) -> dict[str, Any]:
        """Return the query parameters of a scan."""
        return {**self.parameters, "shape": str(self.shape), "format": str(fmt), "page_size": _BATCH_ROWS, **more}

    def as_json(self) -> dict[str, Any]:
        """Return the values that identify an export."""
        return asdict(self)
