"""Reading `other` values of any producer: an object of a wrong form is a plain dict, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.values.arrays import restore_value
from stepwell_schemas.rules.json_values import read_other

names = st.sampled_from(["_type", "value", "items", "dtype", "shape", "values", "a"])
words = st.sampled_from(["text", "dict", "array", "float32", "O", "NaN", "object", "complex128"])
leaves = st.none() | st.booleans() | st.integers(-2, 3) | words
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize(
    "found",
    [
        {"_type": "dict", "items": 1},
        {"_type": "dict", "items": [1]},
        {"_type": "dict", "items": [[[], 1]]},
        {"_type": "array", "dtype": [], "shape": {}, "values": 1},
        {"_type": "text"},
        {"_type": []},
    ],
)
def test_an_object_of_a_wrong_form_is_a_dict(found: dict[str, Any]) -> None:
    assert read_other(found, lambda array: array) == found


@given(values)
def test_nothing_that_is_stored_can_not_be_read(found: Any) -> None:
    restore_value(found)
