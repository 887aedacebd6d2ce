"""Changes of runs as requests describe them: those that can't be stored are refused before an event is written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stepwell_gateway.changes import RunChange
from stepwell_schemas.events.codec import encode
from stepwell_schemas.rules.identifiers import RunPath

RUN = RunPath("me", "digits", "one")


@pytest.mark.parametrize("field", ["config", "summary"])
@pytest.mark.parametrize(
    "value",
    ["\ud800", ["\udfff"], {"\ud800": 1}, {"a": {"b": [{"c": "x\ud800"}]}}],
    ids=["text", "list", "key", "deep"],
)
def test_half_a_surrogate_pair_is_refused_wherever_it_is(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match="lone surrogate"):
        RunChange.model_validate({field: {"a": value}})


def test_a_change_that_is_accepted_is_an_event() -> None:
    odd = {"a": ["\U0001f680", float("nan"), 2**70, "\x00"], "": {"\u202e": None}}
    change = RunChange.model_validate({"config": odd, "summary": odd, "tags": [""], "config_remove": ["\x00"]})
    assert encode(change.event(RUN, 1))
