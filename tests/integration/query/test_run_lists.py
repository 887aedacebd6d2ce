"""Lists of runs: what filters let through, against a plain evaluation of the same filters over the runs' documents."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_ingestor.flush.insert_check import insert_is_visible, rows_are_visible
from stepwell_query.api.params.runs import RunsQuery
from stepwell_query.encoding import NotFinite, json_bytes
from stepwell_query.runs.column_search import search_columns
from stepwell_query.runs.filters.ast import (
    All,
    AnyOf,
    Compare,
    Exists,
    Has,
    Matches,
    Node,
    Not,
    Ref,
    Sign,
    Source,
    terms,
)
from stepwell_query.runs.filters.parser import format_ref, parse_ref
from stepwell_query.runs.list import find_runs, read_runs
from stepwell_query.runs.list_facts import read_facts
from stepwell_query.runs.paths import MISSING, value_at_path
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.runner import migrations
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import BEGIN_MS, RunWriter, gathered
from support.servers.stack import Stack

LARGE = 2**53
FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
SIGNS = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
ODD = 'o\'d`d "k"\\.é🚀 {db}'

CONFIGS: list[dict[str, Any]] = [
    {"lr": 0.1, "opt": {"name": "adam", "eps": 1e-8}, "layers": [1, 2.5, "x", None]},
    {"lr": 1, "opt": "sgd", "flag": True},
    {"lr": "0.1", "flag": False, ODD: 1},
    {"lr": None, "opt": {}, "layers": []},
    {"lr": "NaN", "opt": {"name": "Ädam"}},
    {"lr": LARGE + 1, "flag": 1, ODD: "x"},
    {"lr": LARGE, "flag": "true", "opt.name": "flat"},
    {"lr": -0.5, "layers": ["NaN", True, {"a": 1}]},
    {"lr": 2**70, "opt": {"name": ""}},
    {},
]

BY_HAND: list[dict[str, Any]] = [{}, {"acc": 0.5}, {"loss": "by hand", "best": {"acc": 1}}, {"acc": "NaN"}]


def write_runs(store: Store) -> None:
    """Write a run for each config, with metrics of every kind and lists of definitions."""
    for number, config in enumerate(CONFIGS):
        writer = RunWriter(store, RunPath("me", "digits", f"r{number}"))
        definitions: list[list[dict[str, str]]] = [
            [],
            [{"name": "loss", "summary": "min,mean"}],
            [{"name": "lo*", "summary": "best", "goal": "maximize"}],
        ]
        writer.document(
            display_name="" if number == 9 else f"name {number}",
            config={"lr": "an earlier one", "gone": 1} if number % 2 else config,
            tags=["even"] if number % 2 == 0 else ["odd", "x'y"],
            state=["running", "finished", "failed"][number % 3],
            created_ms=BEGIN_MS + 1_000 * (number // 2),
        )
        if number != 9:
            # A flush, a value overwritten, and a key in another spelling than other runs have.
            key = "Loss" if number % 5 == 0 else "loss"
            writer.numbers(key, [0, 1, 2], [3.0, math.nan, number / 10]).numbers(key, [2], [number / 5])
            writer.numbers("acc", [0], [number / 10]).strings("note", [0, 1], ["a", f"text {number}"])
            writer.bools("ok", [0], [number % 2 == 0]).integers("big", [0], [LARGE + number])
            writer.spelling(key)
        if number % 4 == 0:
            writer.numbers("only/some", [5], [math.inf if number else -1.0])
        writer.document(
            display_name="" if number == 9 else f"name {number}",
            config=config,
            tags=["even"] if number % 2 == 0 else ["odd", "x'y"],
            state=["running", "finished", "failed"][number % 3],
            exit_code=number if number % 3 == 1 else None,
            summary=BY_HAND[number % 4],
            metric_definitions=definitions[number % 3],
            created_ms=BEGIN_MS + 1_000 * (number // 2),
        )


@pytest.fixture(scope="module")
def written(stack: Stack) -> Iterator[str]:
    """A database with the runs, for tests that only read them."""
    with stack.lend_database() as name:
        with gathered(stack.embedded(name)) as gathering:
            write_runs(gathering)
        yield name


@pytest.fixture(params=["chdb", "http"])
def runs(request: pytest.FixtureRequest, stack: Stack, written: str) -> Iterator[Store]:
    """The runs, over each DSN."""
    if request.param == "chdb":
        yield stack.embedded(written)
        return
    with connect(stack.dsn("http"), written) as store:
        yield store


def ids(store: Store, text: str) -> str:
    """Return the numbers of the runs that pass, in order of their ids."""
    asked = RunsQuery(filter=text, order="run_id").request()
    refs = [] if asked.filter is None else [term.ref for term in terms(asked.filter)]
    found = find_runs(store, "me", "digits", asked, None, read_facts(store, "me", "digits", refs))
    assert found.total == len(found.keys)
    return "".join(key.run_id[1:] for key in found.keys)


PASSING = [
    ("config.lr > 0.1", "1568"),
    ("config.lr = 0.1", "0"),
    ('config.lr = "0.1"', "2"),
    ("config.lr = null", "3"),
    ("config.lr = nan", "4"),
    ("config.lr missing", "9"),
    ("config.lr exists and not config.lr >= -1", "234"),
    (f"config.lr = {LARGE}", "6"),
    (f"config.lr = {LARGE + 1}", "5"),
    ("config.flag = true", "1"),
    ("config.flag = 1", "5"),
    ("config.flag != true", "023456789"),
    ("config.opt exists", "01348"),
    ("config.opt.name ~ 'dam$'", "04"),
    ("config.opt.name in ('adam', 'flat')", "06"),
    ('config.opt = "sgd"', "1"),
    ("config.layers has 2.5", "0"),
    ("config.layers has null", "0"),
    ('config.layers has "x"', "0"),
    ("config.layers has nan", "7"),
    ("config.layers has true", "7"),
    ("config.gone exists", ""),
    (f"{format_ref(Ref(Source.CONFIG, ODD))} exists", "25"),
    ("summary.loss = 1.6", ""),
    ("summary.LOSS.min = 0.2", "1"),
    ("summary.loss.min < 2", "147"),
    ("summary.loss.mean > 2", "7"),
    ("summary.loss.best = 3", "58"),
    ("summary.loss = 0", "0"),
    ('summary.loss = "by hand"', "26"),
    ("summary.acc = 0.5", "159"),
    ("summary.acc = nan", "37"),
    ("summary.best.acc = 1", "26"),
    ("summary.best exists", "26"),
    ("summary.only/some > -2", "048"),
    ("summary.only/some = inf", "48"),
    ("summary.note = 'text 3'", "3"),
    ("summary.note ~ '[1-3]$'", "123"),
    ("summary.ok = true", "02468"),
    (f"summary.big = {LARGE + 1}", "1"),
    (f"summary.big = {LARGE}", "0"),
    ("tags has 'even'", "02468"),
    ("tags in ('even', \"x'y\")", "0123456789"),
    ("state = 'finished' and exit_code >= 4", "47"),
    ("exit_code missing", "023568" + "9"),
    ("name = 'r9'", "9"),
    ("run_id in ('r1', 'r2')", "12"),
    ("points > 0 and last_step >= 5", "048"),
    ("last_step missing", "9"),
    ('created_at >= "2023-11-14T22:13:24Z"', "89"),
    ("created_at < '2023-11-14 22:13:21'", "01"),
    ('{"config.lr": {"$gt": 0.1}, "$or": [{"state": "finished"}, {"tags": "odd"}]}', "15"),
    ("{}", "0123456789"),
]


def test_what_passes(runs: Store) -> None:
    assert {text: ids(runs, text) for text, _ in PASSING} == dict(PASSING)


ORDERED = [
    *(Ref(Source.CONFIG, path) for path in ("lr", "opt", "opt.name", "flag", "layers", ODD, "none")),
    *(Ref(Source.SUMMARY, path) for path in ("loss", "LOSS.min", "loss.best", "acc", "note", "ok", "big", "only/some")),
]
REFS = st.sampled_from(ORDERED)
VALUES = st.sampled_from(
    [0.1, 1, 0, -0.5, LARGE, LARGE + 1, math.nan, math.inf, "adam", "0.1", "text 3", "", "NaN", True, None]
)
EQUAL: Sign = "="
UNEQUAL: list[Sign] = ["<", "<=", ">", ">="]
TERMS = (
    st.builds(Compare, REFS, st.just(EQUAL), VALUES)
    | st.builds(Compare, REFS, st.sampled_from(UNEQUAL), VALUES.filter(lambda v: v is not None and v is not True))
    | st.builds(Has, REFS, VALUES.filter(lambda value: value not in {LARGE, LARGE + 1}))
    | st.builds(Matches, REFS, st.sampled_from(["a", "^$", "(?i)ÄDAM", "[0-9]$", "'", "."]))
    | st.builds(Exists, REFS)
)
NODES = st.recursive(
    TERMS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


def in_language(node: Node) -> str:
    """Return a tree in the language."""
    match node:
        case All(parts):
            return f"({' and '.join(map(in_language, parts))})"
        case AnyOf(parts):
            return f"({' or '.join(map(in_language, parts))})"
        case Not(part):
            return f"not ({in_language(part)})"
        case Exists(ref):
            return f"{format_ref(ref)} exists"
        case Matches(ref, pattern):
            return f"{format_ref(ref)} ~ {json.dumps(pattern)}"
        case Has(ref, value):
            return f"{format_ref(ref)} has {literal(value)}"
        case Compare(ref, sign, value):
            return f"{format_ref(ref)} {sign} {literal(value)}"


def literal(value: Any) -> str:
    return {"NaN": "nan", "Infinity": "inf"}.get(json.dumps(value), json.dumps(value))


def passes(node: Node, info: dict[str, Any]) -> bool:
    """Evaluate a filter on a run's document: the rules of docs/runs.md in their plainest form."""
    match node:
        case All(parts):
            return all(passes(part, info) for part in parts)
        case AnyOf(parts):
            return any(passes(part, info) for part in parts)
        case Not(part):
            return not passes(part, info)
        case Exists(ref):
            return value_of(ref, info) is not MISSING
        case Matches(ref, pattern):
            found = value_of(ref, info)
            return isinstance(found, str) and re.search(pattern, found) is not None
        case Has(ref, value):
            found = value_of(ref, info)
            return isinstance(found, list) and any(equal(item, value) for item in found)
        case Compare(ref, "=", value):
            return equal(value_of(ref, info), value)
        case Compare(ref, sign, value):
            there: Any = value
            found = as_number(value_of(ref, info)) if is_number(value) else value_of(ref, info)
            same_kind = is_number(found) if is_number(value) else isinstance(found, str)
            return same_kind and bool(SIGNS[sign](found, there))
    raise AssertionError(node)


def value_of(ref: Ref, info: dict[str, Any]) -> Any:
    if ref.source is Source.CONFIG:
        return value_at_path(info["config"], ref.name)
    return value_at_path({key.lower(): value for key, value in info["summary"].items()}, ref.name.lower())


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(value: Any) -> Any:
    """Return the number that a text names, where JSON has none for it."""
    return FLOATS.get(value, value) if isinstance(value, str) else value


def equal(found: Any, value: Any) -> bool:
    if is_number(value):
        number = as_number(found)
        both_nan = is_number(number) and math.isnan(number) and math.isnan(value)
        return both_nan or (is_number(number) and number == value)
    return type(found) is type(value) and found == value


@pytest.fixture
def embedded(stack: Stack, written: str) -> Store:
    """The runs, in this process alone."""
    return stack.embedded(written)


@pytest.fixture
def whole(embedded: Store) -> dict[str, Any]:
    """The documents of the runs by their number, with config as it was logged."""
    page = read_runs(embedded, "me", "digits", RunsQuery(nan=NotFinite.LITERAL, order="run_id").request())
    infos = json.loads(json_bytes(page["runs"]))
    stored = zip(infos, CONFIGS, BY_HAND * 3, strict=False)
    return {
        info["run_id"][1:]: info | {"config": config, "summary": info["summary"] | by_hand}
        for info, config, by_hand in stored
    }


def test_filters_agree_with_a_plain_evaluation(embedded: Store, whole: dict[str, Any]) -> None:
    @settings(max_examples=settings().max_examples * 3 // 5, derandomize=True)
    @given(NODES)
    def check(node: Node) -> None:
        expected = "".join(run_id for run_id, info in whole.items() if passes(node, info))
        assert ids(embedded, in_language(node)) == expected, in_language(node)

    check()


def rank(value: Any) -> int:
    """Return the class of a value in orders."""
    number = as_number(value)
    if is_number(number):
        return 1 if math.isnan(number) else 0
    return 5 if value is MISSING else 2 if isinstance(value, str) else 3 if isinstance(value, bool) else 4


def test_orders_agree_with_a_plain_sort_page_by_page(embedded: Store, whole: dict[str, Any]) -> None:
    for by in [*ORDERED[::2], Ref(Source.FIELD, "created_at"), Ref(Source.FIELD, "name")]:
        for minus in ("", "-"):
            assert paged(embedded, f"{minus}{format_ref(by)}") == in_order(whole, by, reverse=minus == "-"), by


def paged(store: Store, order: str) -> str:
    """Return the numbers of all runs, from pages of four."""
    found, cursor = "", None
    while True:
        asked = RunsQuery(order=order, limit=4, cursor=cursor, columns=[""]).request()
        page = read_runs(store, "me", "digits", asked)
        assert page["total"] == len(CONFIGS)
        found += "".join(info["run_id"][1:] for info in page["runs"])
        cursor = page["next"]
        if cursor is None:
            return found


def in_order(whole: dict[str, Any], by: Ref, *, reverse: bool) -> str:
    """Return the numbers of all runs, sorted by the rules of docs/runs.md in their plainest form."""

    def value(number: str) -> Any:
        return whole[number][by.name] if by.source is Source.FIELD else value_of(by, whole[number])

    def within(number: str) -> tuple[Any, str]:
        match rank(value(number)):
            case 0:
                return float(as_number(value(number))), number
            case 2 | 3:
                return value(number), number
        return 0, number

    ranked: dict[int, list[str]] = {}
    for number in whole:
        ranked.setdefault(rank(value(number)), []).append(number)
    return "".join("".join(sorted(ranked[place], key=within, reverse=reverse)) for place in sorted(ranked))


def columns_found(store: Store, search: str) -> dict[str, int]:
    """Return the names that a search finds, with how many runs have them."""
    found = search_columns(store, "me", "digits", search, 500)
    assert found["total"] == len(found["columns"])
    return {column["name"]: column["runs"] for column in found["columns"]}


@pytest.mark.one_dsn
def test_every_column_is_found_by_words(runs: Store) -> None:
    everything = columns_found(runs, "")
    assert columns_found(runs, "CONFIG opt") == {"config.opt": 2, "config.opt.name": 4, "config.opt.eps": 1}
    assert columns_found(runs, "loss") == {
        "summary.loss": 3, "summary.loss.min": 3, "summary.loss.mean": 3, "summary.loss.best": 3,
    }  # fmt: skip
    assert columns_found(runs, "gone") == {}
    assert everything["summary.only/some"] == 3
    assert next(iter(everything)) in {"summary.note", "summary.ok", "summary.big", "config.lr", "summary.acc"}
    assert {parse_ref(name, "columns").name for name in everything} >= {ODD, "lr", "flag", "best.acc"}


@pytest.mark.one_dsn
def test_keys_that_no_run_has_are_named(runs: Store) -> None:
    text = (
        "config.typo > 1 or config.opt.name = 'x' or config.opt missing or not config.LR > 1 or summary.LOSS > 1"
        " or summary.loss.min > 1 or summary.best.acc = 1 or summary.lose exists or summary.acc.mean = 1 or notes = 'x'"
    )
    asked = RunsQuery(filter=text, order="-summary.other", columns=["config.typo", "config.flag", "config.'a b'"])
    page = read_runs(runs, "me", "digits", asked.request())
    unknown = ["config.typo", "config.LR", "summary.lose", "summary.acc.mean", "summary.other", 'config."a b"']
    assert page["unknown_keys"] == unknown
    assert read_runs(runs, "me", "digits", RunsQuery(filter="state = 'failed'").request())["unknown_keys"] == []


@pytest.mark.one_dsn
def test_a_config_key_of_wandb_that_is_found_without_its_value_is_known(runs: Store) -> None:
    asked = RunsQuery(filter='{"config.lr.value": 1, "config.typo.value": {"$exists": false}}').request()
    page = read_runs(runs, "me", "digits", asked)
    assert ([info["run_id"] for info in page["runs"]], page["total"]) == (["r1"], 1)
    assert page["unknown_keys"] == ["config.typo.value", "config.typo"]
    for minus in ("", "-"):
        assert paged(runs, f"{minus}config.lr.value") == paged(runs, f"{minus}config.lr")
    asked = RunsQuery(order="-config.lr.value").request()
    assert read_runs(runs, "me", "digits", asked)["unknown_keys"] == []


@pytest.mark.one_dsn
def test_a_list_shows_the_columns_that_are_asked_for(runs: Store) -> None:
    names = ["config.opt.name", "summary.LOSS.min", format_ref(Ref(Source.CONFIG, ODD)), "summary.acc", "config.lr"]
    with_columns = RunsQuery(order="run_id", columns=names).request()
    page = json.loads(json_bytes(read_runs(runs, "me", "digits", with_columns)))
    assert page["columns"] == {"shown": names, "total": 5}
    values = [info["values"] for info in page["runs"]]
    assert values[1] == {"summary.LOSS.min": 0.2, "summary.acc": 0.5, "config.lr": 1}
    assert values[5] == {names[2]: "x", "summary.acc": 0.5, "config.lr": LARGE + 1}
    assert values[7]["summary.acc"] == "NaN"
    assert values[9] == {"summary.acc": 0.5}
    assert not {"config", "summary"} & page["runs"][0].keys()


def test_five_hundred_columns_are_shown_and_all_are_stored(chdb_store: Store) -> None:
    with gathered(chdb_store) as gathering:
        for number in range(3):
            config = {"lr": number, "deep": {f"k{place}": place for place in range(400)}, f"own{number}": 2**70}
            writer = RunWriter(gathering, RunPath("me", "digits", f"r{number}"))
            writer.document(config=config, summary={f"s{place}": place for place in range(200)})
    page = json.loads(json_bytes(read_runs(chdb_store, "me", "digits", RunsQuery().request())))
    assert page["columns"]["total"] == 604
    assert len(page["columns"]["shown"]) == 500
    first = page["runs"][0]
    assert first["partial"]
    assert len(first["config"]["deep"]) == 400
    assert "own2" not in first["config"]
    assert len(first["summary"]) == 99
    assert ids(chdb_store, "config.own1 exists and summary.s199 = 199") == "1"
    assert columns_found(chdb_store, "config own") == {"config.own0": 1, "config.own1": 1, "config.own2": 1}


def test_pages_stay_right_while_runs_come(chdb_store: Store) -> None:
    def write(*names: str) -> None:
        with gathered(chdb_store) as gathering:
            for name in names:
                RunWriter(gathering, RunPath("me", "digits", name)).document(config={"lr": int(name[1:])})

    write("r10", "r20", "r30", "r40", "r50", "r60")
    seen: list[str] = []
    cursor = None
    for coming in ("r05", "r45", "r25", "r70"):
        asked = RunsQuery(order="config.lr", limit=2, cursor=cursor).request()
        page = read_runs(chdb_store, "me", "digits", asked)
        seen += [info["run_id"] for info in page["runs"]]
        cursor = page["next"]
        write(coming)
        if cursor is None:
            break
    assert seen == ["r10", "r20", "r30", "r40", "r45", "r50", "r60"]


def test_a_document_has_landed_when_it_can_be_filtered_by(chdb_store: Store) -> None:
    RunWriter(chdb_store, RunPath("me", "digits", "r0")).document(config={"lr": 1})
    rows = pa.table({"entity": ["me"], "project": ["digits"], "run_id": ["r0"]})
    for is_visible in (insert_is_visible, rows_are_visible):
        assert is_visible(chdb_store, "run_documents", rows, 1)
        assert not is_visible(chdb_store, "run_documents", rows, 2)
    chdb_store.command("TRUNCATE TABLE {db}.run_values")
    for is_visible in (insert_is_visible, rows_are_visible):
        assert not is_visible(chdb_store, "run_documents", rows, 1)


def test_documents_of_an_older_version_are_taken_over(chdb_store: Store) -> None:
    RunWriter(chdb_store, RunPath("me", "digits", "r0")).document(config={"lr": 1})
    for table in ("run_values", "run_texts"):
        chdb_store.command(f"TRUNCATE TABLE {{db}}.{table}")
    assert ids(chdb_store, "config.lr = 1") == ""
    (migration,) = [one for one in migrations() if one.number == 8]
    # The statements about runs alone: later versions changed the columns of series.
    for statement in migration.statements:
        if "run_" in statement and ".series" not in statement:
            chdb_store.command(statement)
    assert ids(chdb_store, "config.lr = 1") == "0"
