"""The parameters of the endpoints that answer rows by step."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from stepwell_query.api.params.common import TEXT_MAX, AnyFormat, Nan, Parameters, StepBound, check_range
from stepwell_query.encoding import NotFinite
from stepwell_query.rows.history import SAMPLES_MAX, HistoryRequest
from stepwell_query.rows.interpolation import Interpolation
from stepwell_query.rows.scan import ScanRequest
from stepwell_query.rows.scan_cursor import Cursor
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.streams import DEFAULT


class Shape(StrEnum):
    """A row a step with a column a key, or a row a value."""

    WIDE = "wide"
    LONG = "long"


class Having(StrEnum):
    """Which of the keys that are asked for a row must have."""

    ALL = "all"
    ANY = "any"


class RowsQuery(Parameters):
    """What history and scan have in common."""

    key: list[str] = Field([], description="A key that rows must have; repeat it for several. None: rows of any keys.")
    keys: str = Field("", max_length=TEXT_MAX, description="Keys separated by commas; the same as several `key`.")
    min_step: StepBound = Field(None, description="First step, included.")
    max_step: StepBound = Field(None, description="Last step, included.")
    nan: Nan = NotFinite.TEXT
    exact: bool = Field(
        False,
        description="Add to a wide table (Arrow, CSV, Parquet) a column `KEY (exact)` for each number: the digits of"
        " integers that float64 can't hold. JSON and long tables always have them.",
    )
    stream: Literal["default", "system", "console"] = Field(
        "default",
        description="Without keys: `default`, what the run itself logged; `system`, its system metrics; `console`, the"
        " lines it printed. Each has steps of its own.",
    )
    format: AnyFormat = None

    def all_keys(self) -> list[str]:
        """Return the keys asked for, in order. Raises: RequestError, KeyRuleError."""
        check_range("min_step", self.min_step, "max_step", self.max_step)
        return [check_key(key) for key in [*self.key, *(part for part in self.keys.split(",") if part)]]

    def stream_name(self) -> str:
        """Return the stream as the tables name it."""
        return DEFAULT if self.stream == "default" else self.stream


class HistoryQuery(RowsQuery):
    """The query of GET history."""

    samples: int = Field(500, ge=2, le=SAMPLES_MAX, description="Rows, at most.")
    interpolate: Interpolation | None = Field(
        None,
        description="Give a row at every step that has any of the keys, and fill what it lacks: `linear`, numbers"
        " between their two finite neighbours; `last`, any value by the one before. Nothing is filled beyond a metric's"
        " ends. Rows name what was filled: `_interpolated` in JSON, a column `KEY (interpolated)` in tables.",
    )

    def request(self) -> HistoryRequest:
        """Return what is asked for. Raises: RequestError, KeyRuleError."""
        return HistoryRequest(
            self.all_keys(), self.samples, self.min_step, self.max_step, self.stream_name(), self.interpolate
        )


class ScanQuery(RowsQuery):
    """The query of GET scan."""

    shape: Shape = Field(
        Shape.WIDE,
        description="`wide`: a row a step, with a column a key. `long`: a row a value, with `key`, `kind`, `step`,"
        " `timestamp` and `value`; by kind, key and step.",
    )
    having: Having = Field(
        Having.ALL, description="With keys, of a wide row: that it has `all` of them, or `any` of them."
    )
    cursor: str = Field(
        "",
        max_length=TEXT_MAX,
        description="Leave out what earlier scans sent: the `stepwell-next` of an answer that was read whole, or,"
        " behind one that broke off, `STEP@OFFSET,` before the cursor that it was asked with: the step after the last"
        " whole row, and its `stepwell-complete-to-offset`. Of a long scan, `KIND:KEY:STEP@OFFSET,`: the step after the"
        " last whole row's, and its kind and percent-encoded key.",
    )
    page_size: int | None = Field(
        None, ge=1, le=1_000_000, description="Rows of one record batch (Arrow), row group (Parquet) or chunk, at most."
    )

    @property
    def long(self) -> bool:
        """Whether values are asked for, and not rows."""
        return self.shape is Shape.LONG

    def request(self, *, digits: bool) -> ScanRequest:
        """Return what is asked for. Raises: RequestError, KeyRuleError.

        `digits` says that those of integers that float64 can't hold are needed.
        """
        return ScanRequest(
            keys=self.all_keys(),
            step_from=self.min_step,
            step_to=self.max_step,
            stream=self.stream_name(),
            digits=digits or self.long,
            cursor=Cursor.parse(self.cursor, long=self.long),
        )
