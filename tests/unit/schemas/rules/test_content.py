"""The content of rows: independent of order and division, and different for rows that differ in anything."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.rules.content import (
    MASK,
    cells_content,
    key_weight,
    key_weights,
    row_content,
    row_weight,
    row_weights,
    rows_content,
    to_signed,
    to_unsigned,
)
from stepwell_schemas.rules.kinds import Kind, as_float, exact_text

KINDS = (Kind.NUMBER, Kind.BOOL, Kind.STRING)
numbers = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0, math.inf]) | st.integers(-(2**70), 2**70)
values = {Kind.NUMBER: numbers, Kind.BOOL: st.booleans(), Kind.STRING: st.text(max_size=5)}
shapes = st.tuples(st.integers(1, 5), st.integers(1, 9))


def content_of(kind: Kind, keys: Sequence[str], columns: Sequence[Sequence[Any]], first: int, steps: list[int]) -> int:
    """Return the content of columns of values, as the ingestor computes it."""
    flat: list[Any] = [value for column in columns for value in column]
    exact = {}
    stored: Any = flat
    if kind is Kind.NUMBER:
        texts = {place: exact_text(value) for place, value in enumerate(flat) if isinstance(value, int)}
        exact = {place: text for place, text in texts.items() if text}
        stored = np.array([as_float(value) if isinstance(value, int) else value for value in flat], np.float64)
    elif kind is Kind.BOOL:
        stored = np.array(flat, np.uint8)
    weights = row_weights(first, len(steps), np.array(steps))
    return (rows_content(weights) + cells_content(kind, key_weights(kind, keys), weights, stored, exact)) & MASK


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Kind, list[str], list[list[Any]], list[int]]:
    """Draw a kind, keys, their columns, and steps."""
    keys, rows = draw(shapes)
    kind = draw(st.sampled_from(KINDS))
    columns = [draw(st.lists(values[kind], min_size=rows, max_size=rows)) for _ in range(keys)]
    steps = draw(st.lists(st.integers(0, 2**62), min_size=rows, max_size=rows))
    return kind, [f"key{number}" for number in range(keys)], columns, steps


@given(blocks(), st.integers(0, 2**40) | st.sampled_from([-1, 2**63 - 2]))
def test_columns_have_the_content_of_their_rows(
    block: tuple[Kind, list[str], list[list[Any]], list[int]], first: int
) -> None:
    kind, keys, columns, steps = block
    weights = [row_weight(first + row, step) for row, step in enumerate(steps)]
    assert row_weights(first, len(steps), np.array(steps)).tolist() == weights
    rows = sum(
        row_content([(key, kind, column[row]) for key, column in zip(keys, columns, strict=True)], weight)
        + rows_content(np.array([weight], np.uint64))
        for row, weight in enumerate(weights)
    )
    assert content_of(kind, keys, columns, first, steps) == rows & MASK


@given(blocks(), st.integers(0, 9), st.permutations(range(5)))
def test_the_content_does_not_depend_on_the_division_or_on_the_order_of_keys(
    block: tuple[Kind, list[str], list[list[Any]], list[int]], cut: int, order: list[int]
) -> None:
    kind, keys, columns, steps = block
    whole = content_of(kind, keys, columns, 7, steps)
    cut = min(cut, len(steps))
    parts = [
        content_of(kind, keys, [column[start:end] for column in columns], 7 + start, steps[start:end])
        for start, end in ((0, cut), (cut, len(steps)))
        if start < end
    ]
    assert sum(parts) & MASK == whole
    order = [place for place in order if place < len(keys)]
    moved = content_of(kind, [keys[place] for place in order], [columns[place] for place in order], 7, steps)
    assert moved == whole


ROWS = 40
"""Enough rows that the vectorised sums are used."""


def base() -> list[list[float]]:
    """Return columns of values with few bits, as losses of a constant or counts are."""
    return [[float(row % 3) for row in range(ROWS)], [1.0] * ROWS, [0.0] * ROWS]


def changed(change: str) -> tuple[list[str], list[list[float]], int, list[int]]:
    """Return keys, columns, first record number and steps after a change."""
    keys, columns, first, steps = ["a", "b", "c"], base(), 0, list(range(ROWS))
    match change:
        case "value":
            columns[0][5] += 1
        case "sign of zero":
            columns[2][5] = -0.0
        case "swapped values":
            columns[0][3], columns[0][4] = columns[0][4], columns[0][3]
        case "swapped keys":
            keys = ["b", "a", "c"]
        case "missing key of zeros":
            keys, columns = keys[:2], columns[:2]
        case "missing row":
            columns, steps = [column[:-1] for column in columns], steps[:-1]
        case "step":
            steps[7] = 8
        case "all steps":
            steps = [step + 1 for step in steps]
        case "record number":
            first = 1
        case "doubled":
            columns = [[2 * value for value in column] for column in columns]
    return keys, columns, first, steps


CHANGES = (
    "value", "sign of zero", "swapped values", "swapped keys", "missing key of zeros", "missing row", "step",
    "all steps", "record number", "doubled",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_makes_a_difference(change: str) -> None:
    contents = {content_of(Kind.NUMBER, *changed(name)) for name in ("none", change)}
    assert len(contents) == 2


@given(st.lists(st.integers(0, 3), min_size=20, max_size=40), st.integers(0, 19), st.integers(1, 100))
def test_small_whole_numbers_do_not_cancel_out(column: list[int], at: int, more: int) -> None:
    # Their floats differ in the first bits alone, which a product modulo 2^64 would lose.
    other = [value + more * (row in {at, (at + 1) % len(column)}) for row, value in enumerate(column)]
    steps = list(range(len(column)))
    floats = [[[float(value) for value in one]] for one in (column, other)]
    first, second = (content_of(Kind.NUMBER, ["a"], one, 0, steps) for one in floats)
    assert first != second
    # Not only the last few bits differ.
    assert (first ^ second) >> 32


def test_spellings_of_a_key_count_as_one_and_the_last_value_holds() -> None:
    assert key_weight("number", "Loss") == key_weight("number", "loss") != key_weight("string", "loss")
    weight = row_weight(0, 0)
    last = row_content([("loss", "number", 2.0)], weight)
    assert row_content([("Loss", "number", 1.0), ("loss", "number", 2.0)], weight) == last
    both = content_of(Kind.NUMBER, ["Loss", "loss"], [[1.0] * ROWS, [2.0] * ROWS], 0, list(range(ROWS)))
    assert both == content_of(Kind.NUMBER, ["loss"], [[2.0] * ROWS], 0, list(range(ROWS)))


def test_the_bits_of_a_nan_and_the_digits_of_a_large_integer_count() -> None:
    steps = list(range(ROWS))
    quiet, other = (struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48, (0x7FF8 << 48) + 1))
    nans = {content_of(Kind.NUMBER, ["a"], [[value] * ROWS], 0, steps) for value in (quiet, other)}
    assert len(nans) == 2
    assert float(2**53 + 1) == float(2**53)
    large: set[int] = {content_of(Kind.NUMBER, ["a"], [[value] * ROWS], 0, steps) for value in (2**53, 2**53 + 1)}
    assert len(large) == 2


@given(st.integers(0, MASK))
def test_a_content_is_an_avro_long(content: int) -> None:
    assert -(2**63) <= to_signed(content) < 2**63
    assert to_unsigned(to_signed(content)) == content
