"""Whatever is stored as JSON, what is served is strict JSON."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.encoding import json_bytes
from stepwell_query.rows.json_fragments import document_texts, exact_texts, number_texts
from stepwell_query.stored_json import (
    json_object,
    json_value,
    object_fragment,
    read_definitions,
    stored_definitions,
    unreadable,
    value_text,
)
from stepwell_schemas.rules.metric_definitions import Definition
from stepwell_schemas.rules.valid_text import valid_batch, valid_text

DEEP = '{"a":' * 900 + "1" + "}" * 900
BAD = [
    '{"a": NaN}',
    '{"a": -Infinity, "b": [1e999]}',
    '{"a": "\\ud800", "\\udfff": 1}',
    "1" + "0" * 5_000,
    DEEP,
    "[" * 900 + "]" * 900,
    "{",
    "",
    "nul",
    '{"a": 1} x',
    "\x00",
    '"\x01"',
    "\ufeff{}",
]
ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def strict(content: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    orjson.loads(content)
    return json.loads(content.decode("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_strict_json_is_served_as_such(text: str) -> None:
    strict(value_text(text).encode())
    strict(json_bytes({"value": json_value(text), "object": object_fragment(text), "parsed": json_object(text)}))
    strict(document_texts(pa.array([text, '{"fine": 1}']))[0].as_py()[:-1].encode())


@given(st.text() | ODD_JSON.map(json.dumps))
def test_any_text_is_served_as_strict_json(text: str) -> None:
    strict(json_bytes([json_value(text), object_fragment(text)]))
    row = {"config": text, "summary": text, "metric_definitions": text}
    assert set(unreadable(row)) <= {"config", "summary", "metric_definitions"}
    assert all(isinstance(one, Definition) for one in read_definitions(text))
    strict(json_bytes(stored_definitions(text)))


@pytest.mark.parametrize("text", ['{"a": [1, 1.50, {}]}', "[]", '"x"', "123456789012345678901234567890", "1.0", " {} "])
def test_strict_json_is_served_as_it_stands(text: str) -> None:
    assert value_text(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": NaN, "b": [-Infinity, 1e999]}', {"a": "NaN", "b": ["-Infinity", "Infinity"]}),
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        ("{", "{"),
        (DEEP, DEEP),
    ],
)
def test_what_can_not_be_said_has_a_documented_outcome(text: str, value: object) -> None:
    assert strict(value_text(text).encode()) == value


def test_documents_that_are_not_served_are_named() -> None:
    fine = {"config": '{"a": NaN}', "summary": "", "metric_definitions": ""}
    assert unreadable(fine) == []
    assert unreadable({"config": "[1]", "summary": DEEP, "metric_definitions": '[{"name": 3}]'}) == [
        "config",
        "summary",
        "metric_definitions",
    ]


@given(st.lists(ODD_JSON))
def test_definitions_of_any_form_are_read(entries: list[Any]) -> None:
    stored = [*entries, {"name": "loss", "summary": ["min"], "step_metric": {}, "goal": 3, "hidden": "x"}]
    assert read_definitions(json.dumps(stored))[-1] == Definition("loss", hidden=True)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    definition = Definition("*" + "a*" * 500 + "b")
    assert not definition.matches("a" * 5_000)
    assert Definition("a*b*c").matches("A.b.C")
    assert not Definition("ab*bc").matches("abc")


def test_digits_that_are_no_integer_are_left_out() -> None:
    digits = pa.array(["12345678901234567890", "NaN", "1e3", "007", "", None, "1,2"])
    texts = exact_texts(number_texts(pa.array([1.0] * 7).to_numpy()), digits).to_pylist()
    assert texts == ["12345678901234567890,", *["1.0,"] * 6]


BYTES = [b"fine", b"\xff\xfe", b"\xed\xa0\x80", None, b""]
FOUND = ["fine", "\ufffd\ufffd", "\ufffd\ufffd\ufffd", None, ""]


def as_text(kind: pa.DataType) -> pa.Array:
    """Return the bytes as texts, unchecked, as ClickHouse's answers are read."""
    data = pa.array(BYTES, pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
    return pa.Array.from_buffers(kind, len(data), data.buffers())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_bytes_that_are_no_text_are_replaced_wherever_they_are(kind: pa.DataType) -> None:
    text = as_text(kind)
    listed = pa.ListArray.from_arrays(pa.array([0, 2, 5], pa.int32()), text)
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), text)
    tupled = pa.StructArray.from_arrays([text, pa.array(range(5))], ["text", "number"])
    assert valid_text(pa.table({"text": text, "n": range(5)})).column("text").to_pylist() == FOUND
    assert valid_text(pa.table({"listed": listed})).column("listed").to_pylist() == [FOUND[:2], FOUND[2:]]
    assert valid_text(pa.table({"coded": coded})).column("coded").to_pylist() == [FOUND[1], FOUND[0]]
    assert [one["text"] for one in valid_text(pa.table({"t": tupled})).column("t").to_pylist()] == FOUND
    batch = valid_batch(pa.RecordBatch.from_arrays([text, coded.take(pa.array([0] * 5))], ["text", "coded"]))
    assert batch.column("text").to_pylist() == FOUND


def test_a_valid_table_is_passed_on() -> None:
    table = pa.table({"text": ["a", "é"], "n": [1, 2]})
    assert valid_text(table) is table
