"""The parameters that the endpoints take: names, defaults and bounds, as the OpenAPI page shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stepwell_query.encode import Format, NotFinite
from stepwell_query.errors import RequestError
from stepwell_query.history import SAMPLES_MAX
from stepwell_schemas.keys import check_key
from stepwell_schemas.streams import DEFAULT

_INT64_MAX = 2**63 - 1
# Longer than any key; what is wrong with it is said by the key rule.
TEXT_MAX = 100_000

StepBound = Annotated[int | None, Field(ge=0, le=_INT64_MAX)]
AnyFormat = Annotated[Format | None, Field(description="How to encode the answer; without it, as Accept prefers.")]
Nan = Annotated[
    NotFinite,
    Field(
        description="How JSON writes NaN and the infinities: as the texts `NaN`, `Infinity`, `-Infinity`, or as bare"
        " words, for parsers that read those as floats; only so is a text `NaN` told from a number."
    ),
]


class Parameters(BaseModel):
    """Base: a name that is not known is an error, not silence."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class RowsQuery(Parameters):
    """What history and scan have in common."""

    key: list[str] = Field([], description="A key that rows must have; repeat it for several. None: rows of any keys.")
    keys: str = Field("", max_length=TEXT_MAX, description="Keys separated by commas; the same as several `key`.")
    min_step: StepBound = Field(None, description="First step, included.")
    max_step: StepBound = Field(None, description="Last step, included.")
    nan: Nan = NotFinite.TEXT
    exact: bool = Field(
        False,
        description="Add to a table (Arrow, CSV, Parquet) a column `KEY (exact)` for each number: the digits of"
        " integers that float64 can't hold. JSON always writes them whole.",
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


class ScanQuery(RowsQuery):
    """The query of GET scan."""

    page_size: int | None = Field(None, ge=1, le=1_000_000, description="Rows to read and send at a time, about.")


class RunQuery(Parameters):
    """The query of GET run."""

    nan: Nan = NotFinite.TEXT


class FormatQuery(Parameters):
    """The query of endpoints that take a format alone."""

    format: AnyFormat = None


class SqlBody(Parameters):
    """The body of POST sql."""

    sql: str = Field(min_length=1, description="One statement that reads.", examples=["SELECT * FROM runs LIMIT 3"])
    parameters: dict[str, Any] = Field(default={}, description="Values of the statement's `{name:Type}`.")


def check_range(low_name: str, low: int | None, high_name: str, high: int | None) -> None:
    """Raise RequestError when a range ends before it begins."""
    if low is not None and high is not None and low > high:
        rule = f"is before {low_name} = {low}"
        raise RequestError(high_name, high, rule, f"send {high_name} ≥ {low_name}, or leave one out")
