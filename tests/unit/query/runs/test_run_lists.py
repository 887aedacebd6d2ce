"""The order of runs, cursors, and the columns of lists."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.errors import RequestError
from stepwell_query.runs.columns import COLUMNS_MAX, most_common_columns
from stepwell_query.runs.filters.ast import Source
from stepwell_query.runs.ordering import Order, SortKey, read_cursor, write_cursor
from stepwell_query.runs.paths import MISSING, leaf_paths, select_paths, value_at_path

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text("ab_ é", min_size=1, max_size=3), inner, max_size=4),
    max_leaves=12,
)
DICTS = st.dictionaries(st.text("ab_ é", min_size=1, max_size=3), DOCUMENTS, max_size=4)


@pytest.mark.parametrize("text", ["", "-", "color", "tags", "config", "config.", "--name", "name desc", "x" * 30_000])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Order.parse(text)
    assert caught.value.field == "order"


@pytest.mark.parametrize("text", ["created_at", "-name", "-config.lr", "summary.val/loss", '-config."a b"'])
def test_an_order_is_written_as_it_is_read(text: str) -> None:
    assert str(Order.parse(text)) == text


def test_orders_of_wandb_are_known() -> None:
    assert str(Order.parse("+summary_metrics.loss")) == "summary.loss"
    assert str(Order.parse("-createdAt")) == "-created_at"


@given(st.integers(0, 5), st.floats(allow_nan=False), st.text(max_size=200), st.text(max_size=20))
def test_a_cursor_comes_back_exactly(rank: int, number: float, text: str, run_id: str) -> None:
    order = Order.parse("-config.lr")
    key = SortKey(rank, number, text, run_id)
    assert read_cursor(write_cursor(order, key), order) == key


def _encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "é", "a" * 10_000, "'; DROP TABLE runs; --", "\x00", _encoded(None), _encoded([]), _encoded({"a": 1}),
        _encoded(["name", 0, "0x0p+0", "", "a", 1]), _encoded(["-name", 0, "0x0p+0", "", "a"]),
        _encoded(["name", True, "0x0p+0", "", "a"]), _encoded(["name", 9, "0x0p+0", "", "a"]),
        _encoded(["name", 0, "nan", "", "a"]), _encoded(["name", 0, 5, "", "a"]),
        _encoded(["name", 0, "0x0p+0", 5, "a"]),
        _encoded(["name", 0, "0x0p+0", "", None]), _encoded(["name", 0, "0x1p+99999999", "", "a"]),
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_cursor(text, Order.parse("name"))
    assert caught.value.field == "cursor"


@given(DICTS)
def test_every_leaf_has_a_path_that_leads_to_it(document: dict[str, Any]) -> None:
    paths = list(leaf_paths(document))
    assert all(value_at_path(document, path) is not MISSING for path in paths)
    assert select_paths(document, set(paths)) == document
    assert select_paths(document, set()) == {}


def test_a_key_with_dots_goes_before_dicts_within_one_another() -> None:
    document = {"a.b": 1, "a": {"b": 2, "c.d": {"e": 3}}}
    assert value_at_path(document, "a.b") == 1
    assert value_at_path(document, "a.c.d.e") == 3
    assert value_at_path(document, "a.c.d.f") is MISSING


def test_the_most_common_columns_are_shown() -> None:
    documents = [
        {Source.CONFIG: {"lr": 1, f"only{number}": 1}, Source.SUMMARY: {"loss": 1}} for number in range(COLUMNS_MAX)
    ]
    shown, total = most_common_columns(documents)
    assert total == COLUMNS_MAX + 2
    assert len(shown) == COLUMNS_MAX
    assert shown[:2] == [(Source.CONFIG, "lr"), (Source.SUMMARY, "loss")]
