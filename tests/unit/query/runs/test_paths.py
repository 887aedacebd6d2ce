"""Paths of keys into config and summary: one rule for lists, filters and groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.runs.paths import MISSING, leaf_paths, select_paths, value_at_path

KEYS = st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c", ""])
DICTS = st.dictionaries(
    KEYS,
    st.recursive(st.none() | st.integers(0, 3), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    max_size=4,
)


def nodes(document: Mapping[str, Any], prefix: str = "", level: int = 1) -> Iterator[tuple[int, str, Any]]:
    """Yield every value with its level and path, as the view that fills `run_values` opens a document."""
    for key, value in document.items():
        path = key if level == 1 else f"{prefix}.{key}"
        yield level, path, value
        if isinstance(value, Mapping):
            yield from nodes(value, path, level + 1)


@given(DICTS)
def test_the_first_value_with_the_fewest_keys_counts(document: dict[str, Any]) -> None:
    expected: dict[str, Any] = {}
    for _, path, value in sorted(nodes(document), key=lambda node: node[0]):
        expected.setdefault(path, value)
    assert {path: value_at_path(document, path) for path in expected} == expected
    for path in ("a.b.c", "c.b.a", "x", "a..b"):
        assert value_at_path(document, path) == expected.get(path, MISSING)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"a": {"b": {"c": 1}}}, 1),
        ({"a.b": {"c": 3}, "a": {"b": {"c": 1}, "b.c": 2}}, 3),
        ({"a": {"b": {"c": 1}, "b.c": 2}, "a.b": {"c": 3}}, 2),
        ({"a": {"b.c": 2}, "a.b.c": 4}, 4),
        ({"a.b.c": None, "a": {"b.c": 2}}, None),
        ({"a": {"b": {"c": None}}}, None),
        ({"a": {"b": {"c": 0}}}, 0),
    ],
)
def test_null_is_a_value_and_a_key_with_dots_counts_before_nested_ones(document: dict[str, Any], value: Any) -> None:
    assert value_at_path(document, "a.b.c", "absent") == value


def test_where_nothing_is_the_default_is_returned() -> None:
    document = {"x": 0, "a": {"c.d": {"e": 3}}}
    for path in ("x.y", "none", "a.none", "a.c.d.f", ""):
        assert value_at_path(document, path) is MISSING
        assert value_at_path(document, path, None) is None


@given(DICTS)
def test_every_leaf_has_a_path(document: dict[str, Any]) -> None:
    paths = list(leaf_paths(document))
    assert all(value_at_path(document, path) is not MISSING for path in paths)
    assert select_paths(document, set(paths)) == document
    assert select_paths(document, set()) == {}
