"""The parameters that the endpoints take: names, defaults and bounds, as the OpenAPI page shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from stepwell_query.encoding import Format, NotFinite
from stepwell_query.errors import RequestError

_INT64_MAX = 2**63 - 1
# Longer than any key or cursor; what is wrong with it is said by their rules.
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
