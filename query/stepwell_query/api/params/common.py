"""Parameters common to endpoints: names, defaults and bounds, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, FailFast, Field

from stepwell_query.encoding import Format, NotFinite
from stepwell_query.errors import RequestError
from stepwell_schemas.http.parameters import RequestModel

_INT64_MAX = 2**63 - 1
# Longer than any valid key or cursor, so that their own rules report errors.
TEXT_MAX = 100_000
WRITERS_MAX = 10_000

Names = Annotated[list[str], FailFast()]
"""Names in a body. The first wrong one is reported: describing a million of them takes seconds."""

StepBound = Annotated[int | None, Field(ge=0, le=_INT64_MAX)]
AnyFormat = Annotated[Format | None, Field(description="Format of the answer; by default the preference in `Accept`.")]
Nan = Annotated[
    NotFinite,
    Field(
        description="Form of NaN and infinities in JSON: `text`, the strings `NaN`, `Infinity` and `-Infinity`;"
        " `literal`, bare words for parsers that read them as floats, which distinguishes NaN from a string `NaN`."
    ),
]


WriterNames = Annotated[
    tuple[str, ...],
    Field(
        max_length=WRITERS_MAX,
        description="The writer of the values, such as `rank1`. For several, repeat it or separate names by commas; `*`"
        " selects all writers. The empty name is the writer without a name. Default: the primary writer of each key,"
        " which is the one without a name, otherwise `rank0`, otherwise the first that logged the key.",
    ),
]


class Parameters(RequestModel):
    """Base of parameters; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class RunQuery(Parameters):
    """The query of GET run."""

    nan: Nan = NotFinite.TEXT


class FormatQuery(Parameters):
    """The query of endpoints whose only parameter is a format."""

    format: AnyFormat = None


class SqlBody(Parameters):
    """The body of POST sql."""

    sql: str = Field(min_length=1, description="One read-only statement.", examples=["SELECT * FROM runs LIMIT 3"])
    parameters: dict[str, Any] = Field(default={}, description="Values of the statement's `{name:Type}`.")


def check_range(low_name: str, low: int | None, high_name: str, high: int | None) -> None:
    """Raise RequestError if a range ends before it starts."""
    if low is not None and high is not None and low > high:
        rule = f"is before {low_name} = {low}"
        raise RequestError(high_name, high, rule, f"send {high_name} ≥ {low_name}, or leave one out")
