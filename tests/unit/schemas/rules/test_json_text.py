"""JSON of producers: strict afterwards for every parser, unchanged where it was, refused where it can't be."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.limits import JSON_MAX_DEPTH
from stepwell_schemas.rules.json_text import JsonObject, JsonTextError, json_members, stored_members, strict_json
from stepwell_schemas.rules.json_values import FLOATS

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=5)
    | st.sampled_from([10**400, -(10**639), 10**640, -(10**700), 2**64, float("inf")])
)  # fmt: skip
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


def parsed(text: str) -> Any:
    """Parse strict JSON: UTF-8, and no number but those of the standard's grammar."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text.encode(), parse_constant=refuse)


def reads_with_float64(text: str) -> bool:
    """Return whether a parser that has float64 alone reads a text."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def expected(value: Any) -> Any:
    """Return what a value is to be read back as, by a parser that knows float64 and no lone surrogates."""
    if isinstance(value, dict):
        return {expected(key): expected(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**640:
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and not math.isfinite(value):
        return next(name for name, number in FLOATS.items() if number == value or (value != value and number != number))
    return value


@given(values)
def test_what_is_stored_is_strict_and_says_the_same(value: Any) -> None:
    text = strict_json(json.dumps(value))
    assert parsed(text) == expected(json.loads(json.dumps(value)))


@given(values)
def test_what_is_strict_stays_as_it_is(value: Any) -> None:
    once = strict_json(json.dumps(value))
    spaced = json.dumps(json.loads(once), indent=2, ensure_ascii=False)
    if reads_with_float64(spaced):
        assert strict_json(spaced) == spaced
    assert json.loads(strict_json(spaced)) == json.loads(spaced)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_members_are_strict_and_the_last_of_a_key_holds(value: dict[str, Any]) -> None:
    document = JsonObject(json_members(json.dumps(value))).text()
    assert parsed(document) == expected(value)
    assert stored_members(document) == json_members(document)
    assert json_members('{"a": 1, "a": {"b": 1, "b": 2}}') == {"a": '{"b": 2}'}


@pytest.mark.parametrize("text", ["", "{", "[1", "nan", "{'a': 1}", "[" * 20_000, "[" * 900 + "]" * 900, '{"a":' * 900])
def test_what_no_parser_reads_is_refused(text: str) -> None:
    for read in (strict_json, json_members):
        with pytest.raises(JsonTextError):
            read(text)
    assert stored_members(text) == {}


def test_the_depth_is_bounded_alike_in_every_form() -> None:
    def nested(levels: int, leaf: str) -> str:
        return "[" * levels + leaf + "]" * levels

    for leaf in ("1", "NaN"):
        strict_json(nested(JSON_MAX_DEPTH, leaf))
        json_members(f'{{"a": {nested(JSON_MAX_DEPTH - 1, leaf)}}}')
        with pytest.raises(JsonTextError):
            strict_json(nested(JSON_MAX_DEPTH + 1, leaf))
        with pytest.raises(JsonTextError):
            json_members(f'{{"a": {nested(JSON_MAX_DEPTH, leaf)}}}')
    strict_json("[" + "[]," * 1_000 + "[]]")


def test_what_was_stored_before_loses_only_what_can_not_be_kept() -> None:
    deep = "[" * 200 + "]" * 200
    assert stored_members(f'{{"good": NaN, "deep": {deep}, "\\ud800": 1}}') == {"good": '"NaN"', "\ufffd": "1"}
    assert stored_members("[1]") == {}


changes = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", '"long text"'])),
        st.lists(st.sampled_from("abcd")),
    ),
    max_size=6,
)


@given(changes)
def test_an_object_knows_its_size(drawn: list[tuple[dict[str, str], list[str]]]) -> None:
    one, plain = JsonObject(), dict[str, str]()
    for new, removed in drawn:
        before = one.copy()
        growth = one.growth(new, removed)
        one.merge(new, removed)
        plain = {key: value for key, value in {**plain, **new}.items() if key not in set(removed) - set(new)}
        assert one == JsonObject(plain)
        assert one.bytes == before.bytes + growth == JsonObject(plain).bytes
        assert json.loads(one.text()) == {key: json.loads(value) for key, value in plain.items()}
