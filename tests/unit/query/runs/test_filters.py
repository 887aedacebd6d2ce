"""The filter language and wandb's dicts: what they mean, and where they say that something is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.runs.filters.ast import (
    All,
    AnyOf,
    Compare,
    Exists,
    FilterError,
    Has,
    Matches,
    Node,
    Not,
    Ref,
    Source,
    terms,
)
from stepwell_query.runs.filters.mongo import parse_dict
from stepwell_query.runs.filters.parser import format_ref, parse_filter, parse_ref

LR = Ref(Source.CONFIG, "lr")
IN = Ref(Source.CONFIG, "in")
LOSS = Ref(Source.SUMMARY, "val/loss")
STATE = Ref(Source.FIELD, "state")
TAGS = Ref(Source.FIELD, "tags")
NAME = Ref(Source.FIELD, "name")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("config.lr > 0.1", Compare(LR, ">", 0.1)),
        ("config.lr==1", Compare(LR, "=", 1)),
        ("config.lr != -1e-3", Not(Compare(LR, "=", -1e-3))),
        ("config . lr <> null", Not(Compare(LR, "=", None))),
        ("config.lr = -inf", Compare(LR, "=", float("-inf"))),
        ("config.lr = TRUE", Compare(LR, "=", True)),
        ('summary.val/loss < 0.3 and tags has "x"', All((Compare(LOSS, "<", 0.3), Has(TAGS, "x")))),
        ("summary_metrics.val/loss exists", Exists(LOSS)),
        ('config."lr" missing', Not(Exists(LR))),
        ("config.`a.b`.c exists", Exists(Ref(Source.CONFIG, "a.b.c"))),
        ("config.in in (1, 'a')", AnyOf((Compare(IN, "=", 1), Compare(IN, "=", "a")))),
        ("state not in ('a')", Not(AnyOf((Compare(STATE, "=", "a"),)))),
        ("tags in ('a', 'b')", AnyOf((Has(TAGS, "a"), Has(TAGS, "b")))),
        ("tags not has 'a'", Not(Has(TAGS, "a"))),
        ('name ~ "^a.*"', Matches(NAME, "^a.*")),
        ("displayName !~ 'x'", Not(Matches(NAME, "x"))),
        ('NOT state = "a" OR !(state = "b")', AnyOf((Not(Compare(STATE, "=", "a")), Not(Compare(STATE, "=", "b"))))),
        (
            'state="a" or state="b" and config.lr>1',
            AnyOf((Compare(STATE, "=", "a"), All((Compare(STATE, "=", "b"), Compare(LR, ">", 1))))),
        ),
        (
            'created_at > "2026-01-01" && finished_at <= "2026-01-01T01:00:00+01:00"',
            All(
                (
                    Compare(Ref(Source.FIELD, "created_at"), ">", 1_767_225_600_000.0),
                    Compare(Ref(Source.FIELD, "finished_at"), "<=", 1_767_225_600_000.0),
                )
            ),
        ),
        (r'state = "a\"b\\cA😀\n"', Compare(STATE, "=", 'a"b\\cA😀\n')),
        ("config.lr = 123456789012345678901", Compare(LR, "=", 123456789012345678901)),
    ],
)  # fmt: skip
def test_what_the_language_means(text: str, tree: Node) -> None:
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("config.lr >", 12, "a number"),
        ("config.lr >> 3", 12, "a number"),
        ("config.lr 3", 11, "in (…)"),
        ("(state = 'a'", 13, ")"),
        ("state = 'a')", 12, "the end"),
        ("state = finished", 9, '"finished"'),
        ("state = 'a' stat = 'b'", 13, "or"),
        ("lr > 3", 1, "config.KEY"),
        ("state = 'a' and stat = 'b'", 17, "started_at"),
        ("config > 3", 1, "config.lr"),
        ("state.x = 'a'", 1, "alone"),
        ("state > 3", 1, '"3"'),
        ("points = 'a'", 1, "bare"),
        ("created_at > 'yesterday'", 1, "2026-01-31"),
        ("created_at > 5", 1, "2026-01-31"),
        ("tags = 'a'", 1, "has"),
        ("tags ~ 'a'", 1, "texts"),
        ("name has 'a'", 1, "="),
        ("tags has 3", 1, '"3"'),
        ("config.lr > true", 1, "!="),
        ("exit_code = null", 1, "missing"),
        ("config.lr ~ 3", 1, "quote"),
        ("config.lr = 'a", 13, "a number"),
        ("config.lr in ()", 15, "a number"),
        ("config.lr = 1.2.3", 13, '"1.2.3"'),
        ("config.lr = 1; DROP TABLE runs", 14, "and"),
        ("config.lr = '\\ud800'", 13, "halves"),
        ("", 1, "config.KEY"),
    ],
)
def test_what_is_wrong_is_shown_with_its_place_and_what_would_be_right(text: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert caught.value.column == column
    assert words in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "x" * 20_001,
        "(" * 5_000 + "state = 'a'" + ")" * 5_000,
        "not " * 4_000 + "state = 'a'",
        "not (" * 40 + "state = 'a'" + ")" * 40,
        " or ".join(["config.a = 1"] * 201),
        "config.a in (" + ",".join(["1"] * 201) + ")",
    ],
)
def test_a_filter_has_bounds(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text)


def test_many_comparisons_beside_one_another_are_no_depth() -> None:
    assert len(terms(parse_filter(" and ".join(["not (config.a = 1)"] * 200)))) == 200


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    for parse in (parse_filter, parse_dict):
        with suppress(FilterError):
            terms(parse(text))


@given(st.text(min_size=1, max_size=20), st.sampled_from([Source.CONFIG, Source.SUMMARY]))
def test_a_name_that_is_written_is_read_again(name: str, source: Source) -> None:
    ref = Ref(source, name)
    assert parse_ref(format_ref(ref), "columns") == ref


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"config.lr": {"$gt": 0.1}, "$or": [{"state": "finished"}, {"tags": "x"}]}, None),
        ({"summary_metrics.val/loss": {"$lt": 0.3, "$gte": -1}}, "summary.val/loss < 0.3 and summary.val/loss >= -1"),
        ({"state": {"$ne": "a"}}, "state != 'a'"),
        ({"state": {"$nin": ["a", "b"]}}, "state not in ('a', 'b')"),
        ({"tags": {"$in": ["a", "b"]}}, "tags in ('a', 'b')"),
        ({"tags": {"$all": ["a", "b"]}}, "tags has 'a' and tags has 'b'"),
        ({"display_name": {"$regex": "^a", "$options": "i"}}, "name ~ '(?i)^a'"),
        ({"config.a b": {"$exists": False}}, 'config."a b" missing'),
        ({"config.lr": {"$not": {"$gt": 3}}}, "not config.lr > 3"),
        ({"name": "abc"}, "name = 'abc' or run_id = 'abc'"),
        ({"config.lr.value": 1}, "config.lr.value = 1 or config.lr = 1"),
        ({"createdAt": {"$gt": "2026-01-01"}}, "created_at > '2026-01-01'"),
        ({"summary_metrics._step": {"$gte": 9}}, "last_step >= 9"),
        ({"summary_metrics._runtime": {"$lt": 60}}, "duration < 60"),
        ({"$nor": [{"config.lr": None}]}, "not config.lr = null"),
    ],
)
def test_dicts_are_the_same_tree(filters: dict[str, Any], text: str | None) -> None:
    found = parse_dict(json.dumps(filters))
    if text is not None:
        assert _plain(found) == _plain(parse_filter(text))
    else:
        assert found == All(
            (Compare(LR, ">", 0.1), AnyOf((All((Compare(STATE, "=", "finished"),)), All((Has(TAGS, "x"),)))))
        )


def _plain(node: Node) -> Node:
    """Return a tree without the parentheses that hold one part."""
    match node:
        case All((part,)) | AnyOf((part,)):
            return _plain(part)
        case All(parts):
            return All(tuple(_plain(part) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_plain(part) for part in parts))
        case Not(part):
            return Not(_plain(part))
    return node


@pytest.mark.parametrize(
    "filters",
    [
        {"lr": 1}, {"config.lr": {"$foo": 1}}, {"config.lr": {}}, {"$or": []}, {"$or": {}}, {"$where": "1"},
        {"config.lr": [1]}, {"tags": ["a"]}, {"config.lr": {"$in": []}}, {"config.lr": {"$regex": 3}},
        {"config.lr": {"$regex": "a", "$options": "g"}}, {"state": {"$gt": 3}}, {"state": None}, {"config": 1},
        {"config.lr": {"$gt": {"$gt": 1}}}, {"$or": [{"config.a": 1}] * 201},
    ],
)  # fmt: skip
def test_dicts_that_mean_nothing_are_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError) as caught:
        parse_dict(json.dumps(filters))
    assert caught.value.rule
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1', '{"config.a": "\\ud800"}', '{"a":' * 5_000 + "1" + "}" * 5_000, "{}x"]
)
def test_json_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        parse_dict(text)
