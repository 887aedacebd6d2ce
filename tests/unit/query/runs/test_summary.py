"""A run's summary: the last value of each metric, what define_metric asks for, what was set by hand."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_query.runs.summary import SeriesStats, summarize
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.metric_definitions import Definition

LOSS = SeriesStats("Loss", Kind.NUMBER, (9, 9), 0.5, low=0.1, high=2.0, mean=0.7, first=2.0)
NAME = SeriesStats("name", Kind.STRING, (3, 3), "x")


def test_the_last_value_holds() -> None:
    assert summarize([LOSS, NAME], [], {}) == {"Loss": 0.5, "name": "x"}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"summary": "min"}, {"min": 0.1}),
        ({"summary": "min,max"}, {"min": 0.1, "max": 2.0}),
        ({"summary": "mean, last"}, {"mean": 0.7, "last": 0.5}),
        ({"summary": "best"}, {"best": 0.1}),
        ({"summary": "best", "goal": "maximize"}, {"best": 2.0}),
        ({"summary": "last"}, {"last": 0.5}),
        ({"summary": "copy"}, 0.5),
        ({"summary": "first,copy"}, {"first": 2.0}),
        ({"summary": None}, 0.5),
    ],
)
def test_a_definition_chooses_what_is_shown(definition: dict[str, Any], expected: object) -> None:
    definitions = [Definition.read({"name": "loss", **definition})]
    assert summarize([LOSS], definitions, {}) == {"Loss": expected}


def test_a_pattern_holds_where_no_name_does() -> None:
    definitions = [Definition("loss", summary=("max",)), Definition("*", summary=("none",))]
    assert summarize([LOSS, NAME], definitions, {}) == {"Loss": {"max": 2.0}}


def test_values_set_by_hand_hold_over_logged_ones() -> None:
    assert summarize([LOSS], [], {"Loss": 7, "note": "best"}) == {"Loss": 7, "note": "best"}


def test_of_two_kinds_of_a_key_the_later_one_holds() -> None:
    text = SeriesStats("Loss", Kind.STRING, (10, 10), "diverged")
    assert summarize([LOSS, text], [], {}) == {"Loss": "diverged"}
