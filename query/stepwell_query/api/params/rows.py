"""Parameters of the endpoints that return rows by step."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from stepwell_query.api.params.common import TEXT_MAX, AnyFormat, Nan, Parameters, StepBound, WriterNames, check_range
from stepwell_query.catalog.writers import WriterSelection
from stepwell_query.encoding import NotFinite
from stepwell_query.rows.history import SAMPLES_MAX, HistoryRequest
from stepwell_query.rows.interpolation import Interpolation
from stepwell_query.rows.scan import ScanRequest
from stepwell_query.rows.scan_cursor import Cursor
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.streams import DEFAULT


class Shape(StrEnum):
    """Shapes of a scan: a row per step with a column per key, or a row per value."""

    WIDE = "wide"
    LONG = "long"


class Having(StrEnum):
    """Condition on the requested keys of a row: values for all of them, or for any."""

    ALL = "all"
    ANY = "any"


class RowsQuery(Parameters):
    """Parameters common to history and scan."""

    key: list[str] = Field(
        [], description="A key that rows must have; repeat it for several keys. Default: rows with any keys."
    )
    keys: str = Field("", max_length=TEXT_MAX, description="Keys separated by commas, equivalent to several `key`.")
    min_step: StepBound = Field(None, description="First step, inclusive.")
    max_step: StepBound = Field(None, description="Last step, inclusive.")
    nan: Nan = NotFinite.TEXT
    exact: bool = Field(
        False,
        description="In wide tables (Arrow, CSV, Parquet), add a column `KEY (exact)` per number with the digits of"
        " integers that float64 can't represent. JSON and long tables always include them.",
    )
    stream: Literal["default", "system", "console"] = Field(
        "default",
        description="Without keys: `default`, the values that the run logged; `system`, its system metrics; `console`,"
        " its console output. Each stream has separate steps.",
    )
    writer: WriterNames = ()
    format: AnyFormat = None

    def all_keys(self) -> list[str]:
        """Return the requested keys in order. Raises: RequestError, KeyRuleError."""
        check_range("min_step", self.min_step, "max_step", self.max_step)
        return [check_key(key) for key in [*self.key, *(part for part in self.keys.split(",") if part)]]

    def stream_name(self) -> str:
        """Return the name of the stream in the tables."""
        return DEFAULT if self.stream == "default" else self.stream


class HistoryQuery(RowsQuery):
    """The query of GET history."""

    samples: int = Field(500, ge=2, le=SAMPLES_MAX, description="Maximum number of rows.")
    interpolate: Interpolation | None = Field(
        None,
        description="Return a row at every step with a value of any key, and fill missing values: `linear` interpolates"
        " numbers between two finite neighbours; `last` repeats the preceding value. Nothing is filled before the first"
        " value of a metric, and with `linear` nothing after its last one. Filled values are marked: `_interpolated` in"
        " JSON, a column `KEY (interpolated)` in tables.",
    )

    def request(self) -> HistoryRequest:
        """Return the request. Raises: RequestError, KeyRuleError."""
        return HistoryRequest(
            self.all_keys(),
            self.samples,
            self.min_step,
            self.max_step,
            self.stream_name(),
            self.interpolate,
            WriterSelection.parse(self.writer),
        )


class ScanQuery(RowsQuery):
    """The query of GET scan."""

    shape: Shape = Field(
        Shape.WIDE,
        description="`wide`: a row per step, with a column per key. `long`: a row per value, with `key`, `kind`, `step`"
        ", `timestamp` and `value`, sorted by kind, key and step.",
    )
    having: Having = Field(
        Having.ALL, description="With keys, wide rows must have a value for `all` or for `any` of them."
    )
    cursor: str = Field(
        "",
        max_length=TEXT_MAX,
        description="Exclude the values that earlier scans sent. After a complete answer, send its `stepwell-next`."
        " After an interrupted one, send `STEP@OFFSET,` followed by the cursor of the interrupted request: STEP is"
        " the step after the last complete row and OFFSET the answer's `stepwell-complete-to-offset`; for a long scan,"
        " send `KIND:KEY:STEP@OFFSET,` with the kind and the percent-encoded key of that row; if several writers are"
        " selected, `KIND:KEY:WRITER:STEP@OFFSET,`. If wide rows have a `_writer`, STEP is the last row's own step.",
    )
    page_size: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Maximum rows of a record batch (Arrow), a row group (Parquet) or a chunk.",
    )

    @property
    def long(self) -> bool:
        """True if values are requested instead of rows."""
        return self.shape is Shape.LONG

    def request(self, *, digits: bool) -> ScanRequest:
        """Return the request. Raises: RequestError, KeyRuleError.

        `digits` requests the digits of integers that float64 can't represent.
        """
        return ScanRequest(
            keys=self.all_keys(),
            step_from=self.min_step,
            step_to=self.max_step,
            stream=self.stream_name(),
            digits=digits or self.long,
            cursor=Cursor.parse(self.cursor, long=self.long),
            writers=WriterSelection.parse(self.writer),
        )
