"""Selection of a key's metric definition, and the summaries that follow from it."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_schemas.rules.metric_definitions import LEFT_OUT, Definition, find_definition

FIGURES = {"min": 1.0, "max": 9.0, "mean": 5.0, "first": 2.0, "last": 3.0}


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("loss", "LOSS", True),
        ("loss", "loss/val", False),
        ("val/*", "Val/a/b", True),
        ("val/*", "val", False),
        ("*", "anything", True),
        ("*", "_internal", False),
        ("_internal", "_internal", True),
        ("*/loss", "val/loss", True),
        ("a[1]*", "a[1].b", True),
        ("a[1]*", "a1", False),
        ("a.?*", "a.bc", False),
    ],
)
def test_a_name_matches_whole_keys_whatever_their_case(name: str, key: str, expected: bool) -> None:
    assert Definition(name).matches(key) is expected


@pytest.mark.parametrize(
    ("names", "key", "place"),
    [
        (["loss", "*"], "loss", 0),
        (["*", "loss"], "loss", 1),
        (["*", "l*"], "loss", 1),
        (["l*", "*"], "loss", 1),
        (["loss", "Loss"], "loss", 1),
        (["a", "b*"], "loss", None),
    ],
)
def test_a_key_s_own_definition_goes_before_a_pattern_s_and_later_before_earlier(
    names: list[str], key: str, place: int | None
) -> None:
    made = [Definition(name, goal=str(number)) for number, name in enumerate(names)]
    assert find_definition(key, made).goal == (None if place is None else str(place))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"summary": None}, 3.0),
        ({"summary": "copy"}, 3.0),
        ({"summary": "last"}, {"last": 3.0}),
        ({"summary": "max, min"}, {"min": 1.0, "max": 9.0}),
        ({"summary": "best"}, {"best": 1.0}),
        ({"summary": "best,first", "goal": "maximize"}, {"best": 9.0, "first": 2.0}),
        ({"summary": "mean,copy,unknown"}, {"mean": 5.0}),
        ({"summary": "max,none"}, LEFT_OUT),
    ],
)
def test_a_definition_says_what_a_summary_holds(stored: dict[str, Any], expected: Any) -> None:
    assert Definition.read({"name": "loss", **stored}).summarized(FIGURES, 3.0) == expected
