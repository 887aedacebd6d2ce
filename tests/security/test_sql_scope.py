"""SQL of a key that may read some projects shows nothing of others: hostile statements, plans and random grants."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell_query.sql.guard import guard_rows
from stepwell_query.sql.scope import row_scope
from stepwell_schemas.access.grants import Grant, Resource, Scope
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.clickhouse.tables import ACCESS_TABLES, PUBLIC_VIEWS
from support.servers.stack import Stack

from .scoped_sql import ADMIN_KEY, FOREIGN, MINE, ROWS, SECRET, ScopedSql, fill, scoped_sql

pytestmark = pytest.mark.one_dsn

GRANTS: Final = tuple(f"read:{entity}/{project}" for entity, project in MINE)
DATA_VIEWS: Final = tuple(view for view in PUBLIC_VIEWS if view != "audit")
NOWHERE: Final = frozenset(
    {"schema_migrations", "log_positions", "media_removals", "run_values_of_documents", "run_texts_of_documents"}
)
"""Tables without rows of projects, which no public view reads, and views that fill tables."""


@pytest.fixture(scope="module", params=["chdb", "http"])
def served(request: pytest.FixtureRequest, stack: Stack) -> Iterator[ScopedSql]:
    """A service over each DSN in turn, which these tests only read."""
    with stack.lend_database() as name, connect(stack.dsn(request.param), name) as store:
        fill(store)
        with scoped_sql(store) as served:
            yield served


@pytest.fixture(scope="module")
def key(served: ScopedSql) -> str:
    """A key that reads the projects MINE."""
    return served.add_key(*GRANTS)


def shown(text: str, sql: str) -> str:
    """Return what a text shows of foreign projects, besides what the statement itself contains."""
    hidden = [SECRET, "777.25", "777,25", "hidden", "me2"]
    return ", ".join(word for word in hidden if word in text and word not in sql)


COUNTS: Final = {
    "runs": 4,
    "metrics": 28,
    "numbers": 2 * ROWS,
    "strings": 12,
    "bools": 4,
    "others": 4,
    "media": 4,
    "step_conflicts": 2,
    "retention": 2,
}


def over_http_too(names: Iterable[str], chosen: Container[str]) -> list[Any]:
    """Return parameters, of which the chosen ones are tested over both DSNs: each passes filters in its own way."""
    return [pytest.param(name, marks=pytest.mark.both_dsns) if name in chosen else name for name in names]


@pytest.mark.parametrize("view", over_http_too(DATA_VIEWS, {"runs", "numbers", "retention"}))
def test_each_view_has_the_rows_of_the_scope(served: ScopedSql, key: str, view: str) -> None:
    every = served.rows(f"SELECT * FROM {view} ORDER BY ALL", ADMIN_KEY)
    assert len(every) == COUNTS[view] / len(MINE) * (len(MINE) + len(FOREIGN))
    mine = [row for row in every if (row[0], row[1]) in MINE]
    assert served.rows(f"SELECT * FROM {view} ORDER BY ALL", key) == mine
    assert served.rows(f"SELECT count() FROM {view}", key) == [[COUNTS[view]]]
    # An administrator's rows are those of all keys that read everything.
    assert served.rows(f"SELECT count() FROM {view}", served.add_key("read")) == [[len(every)]]


# Statements that are answered: their rows must be those of the scope alone, 4 runs and 80 numbers.
ANSWERED: Final[dict[str, list[tuple[str, Any]]]] = {
    "subqueries": [
        ("SELECT count() FROM (SELECT * FROM (SELECT * FROM numbers))", 80),
        ("SELECT (SELECT count() FROM numbers)", 80),
        ("SELECT count() FROM runs WHERE run_id IN (SELECT run_id FROM numbers)", 4),
        ("SELECT count() FROM numbers WHERE (SELECT count() FROM runs) = 4", 80),
        ("SELECT count() FROM runs WHERE EXISTS (SELECT 1 FROM numbers WHERE value > 700)", 0),
        ("SELECT count() FROM runs WHERE name = ANY (SELECT name FROM runs)", 4),
        ("SELECT length(groupArray(run_id)) FROM runs", 4),
        ("SELECT arraySum(arrayMap(x -> x, (SELECT groupArray(value) FROM numbers)))", 80),
    ],
    "common table expressions": [
        ("WITH x AS (SELECT * FROM numbers) SELECT count() FROM x", 80),
        ("WITH x AS (SELECT * FROM numbers), y AS (SELECT * FROM x) SELECT count() FROM y", 80),
        ("WITH (SELECT max(value) FROM numbers) AS highest SELECT highest", 1.0),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) "
         "SELECT count() FROM r CROSS JOIN runs", 12),
        (
            "WITH RECURSIVE r AS (SELECT 0::UInt64 AS n UNION ALL SELECT count() FROM numbers, r WHERE n = 0 "
            "HAVING count() > 0) SELECT max(n) FROM r",
            80,
        ),
        ("WITH numbers AS (SELECT * FROM runs) SELECT count() FROM numbers", 4),
    ],
    "joins": [
        ("SELECT count() FROM runs AS a CROSS JOIN runs AS b", 16),
        ("SELECT count() FROM numbers AS n INNER JOIN runs AS r USING (entity, project, run_id)", 80),
        ("SELECT count() FROM numbers AS n FULL JOIN runs AS r ON n.run_id = r.run_id AND n.project = r.project", 80),
        ("SELECT count() FROM runs AS a GLOBAL ANY LEFT JOIN numbers AS b USING (run_id)", 4),
        ("SELECT count() FROM runs AS a SEMI JOIN numbers AS b ON a.run_id = b.run_id", 4),
        ("SELECT count() FROM runs AS a ASOF JOIN numbers AS b ON a.run_id = b.run_id AND a.created_at <= b.timestamp",
         4),
        ("SELECT count() FROM (SELECT 1 AS x) AS a PASTE JOIN (SELECT value FROM numbers LIMIT 1) AS b", 1),
        ("SELECT count() FROM runs, runs AS r, (SELECT DISTINCT run_id FROM numbers) AS n", 32),
    ],
    "unions": [
        ("SELECT sum(n) FROM (SELECT count() AS n FROM runs UNION ALL SELECT count() FROM numbers)", 84),
        ("SELECT count() FROM (SELECT run_id FROM runs INTERSECT SELECT run_id FROM numbers)", 4),
        ("SELECT count() FROM (SELECT value FROM numbers EXCEPT DISTINCT SELECT 1.0)", 0),
        ("SELECT count() FROM (SELECT name FROM runs UNION DISTINCT SELECT value FROM strings)", 1),
    ],
    "aggregation": [
        ("SELECT max(value) FROM numbers", 1.0),
        ("SELECT uniqExact(entity, project) FROM metrics", 2),
        ("SELECT count() FROM (SELECT entity, count() FROM numbers GROUP BY entity WITH ROLLUP)", 2),
        ("SELECT count() FROM (SELECT * FROM numbers LIMIT 1000 BY entity)", 80),
        ("SELECT max(n) FROM (SELECT count() OVER () AS n FROM numbers)", 80),
        ("SELECT max(t) FROM (SELECT max(value) OVER (ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING "
         "AND UNBOUNDED FOLLOWING) AS t FROM numbers)", 1.0),
        ("SELECT count() FROM numbers WHERE 1 HAVING count() > 0", 80),
        ("SELECT count() FROM runs ARRAY JOIN tags", 4),
        ("SELECT count(DISTINCT name) FROM runs QUALIFY 1", 1),
        ("SELECT anyLast(name) FROM (SELECT name FROM runs ORDER BY name DESC)", "plain"),
        ("SELECT length(groupConcat(name)) FROM runs", 20),
        ("SELECT count() FROM (SELECT DISTINCT ON (entity) entity, name FROM runs)", 1),
        ("SELECT topK(10)(entity) = ['me'] FROM numbers", 1),
    ],
    "conditions that would show a foreign row by failing": [
        ("SELECT count() FROM numbers WHERE throwIf(value > 700) = 0", 80),
        ("SELECT count() FROM numbers WHERE throwIf(value > 700) = 0 AND key = 'loss' AND step < 1000", 40),
        ("SELECT count() FROM numbers WHERE key = 'loss' AND throwIf(entity = 'other') = 0", 40),
        ("SELECT count() FROM numbers WHERE throwIf(project = 'hidden') = 0 AND entity = 'me'", 80),
        ("SELECT count() FROM numbers WHERE entity = 'other' AND throwIf(1) = 0", 0),
        ("SELECT count() FROM numbers WHERE intDiv(1, toInt64(value * 4) - 3109) < 9", 80),
        ("SELECT count() FROM numbers WHERE toInt8(toString(toInt64(value))) < 2", 80),
        ("SELECT count() FROM strings WHERE toFloat64(replace(value, 'plain', '1')) = 1", 12),
        ("SELECT count() FROM strings WHERE CAST(replace(value, 'plain', '1'), 'UInt8') = 1", 12),
        ("SELECT count() FROM runs WHERE JSONExtractString(config, 'text') = 'plain' OR throwIf(1) = 1", 4),
        ("SELECT count() FROM runs WHERE throwIf(name LIKE 'SEC%') = 0", 4),
        ("SELECT count() FROM metrics WHERE throwIf(key LIKE 'key-SEC%') = 0", 28),
        ("SELECT max(throwIf(value > 700)) FROM numbers", 0),
        ("SELECT count() FROM numbers GROUP BY throwIf(value > 700)", 80),
        ("SELECT count() FROM numbers AS a JOIN runs AS b USING (entity, project, run_id) "
         "WHERE throwIf(b.name != 'plain') = 0 AND throwIf(a.value > 1) = 0", 80),
        ("SELECT count() FROM runs WHERE run_id IN (SELECT run_id FROM numbers WHERE throwIf(value > 1) = 0)", 4),
        ("SELECT count() FROM numbers WHERE if(value > 700, throwIf(1), 0) = 0", 80),
        ("SELECT count() FROM numbers WHERE arrayElement([1], toInt64(value)) = 1", 80),
        ("SELECT count() FROM others WHERE throwIf(value LIKE '%SECRET%') = 0", 4),
        ("SELECT count() FROM step_conflicts WHERE throwIf(writer = 'SECRET') = 0", 2),
        ("SELECT count() FROM numbers WHERE ignore(sipHash64(value)) = 0 ORDER BY max(throwIf(value > 700))", 80),
    ],
    "counts of what is hidden": [
        ("SELECT count() FROM numbers WHERE entity = 'other'", 0),
        ("SELECT count() FROM numbers WHERE entity != 'me'", 0),
        ("SELECT count() FROM runs WHERE project = 'hidden'", 0),
        ("SELECT count() FROM metrics WHERE count > 0 AND NOT startsWith(entity, 'me')", 0),
        ("SELECT count() FROM numbers WHERE entity LIKE 'me_'", 0),
        ("SELECT count() FROM numbers WHERE entity > 'me'", 0),
        ("SELECT count() FROM numbers WHERE (entity, project) IN (('other', 'digits'), ('me', 'hidden'))", 0),
        ("SELECT count() FROM numbers WHERE 1 OR entity = 'other'", 80),
        ("SELECT count() FROM numbers WHERE NOT (entity = 'me')", 0),
        ("SELECT count() FROM numbers WHERE match(entity, '.*')", 80),
    ],
    "comments and forms": [
        ("SELECT count() /* SETTINGS additional_table_filters = {} */ FROM numbers -- SETTINGS", 80),
        ("SELECT count() FROM numbers;", 80),
        ("FROM numbers SELECT count()", 80),
        ("SELECT count() FROM numbers SAMPLE 1 / 2", 80),
        ("SELECT count() FROM `numbers`", 80),
        ("SELECT `count`() FROM \"numbers\" AS `points_number`", 80),
        ("SELECT count() FROM numbers AS `{database}.schema_migrations`", 80),
        ("SELECT count() FROM {database}.numbers AS points_number", 80),
        ("SELECT length(formatQuery('SELECT * FROM audit_events')) > 0", 1),
    ],
}  # fmt: skip


HTTP_KINDS: Final = {
    "subqueries",
    "unions",
    "conditions that would show a foreign row by failing",
    "comments and forms",
}


@pytest.mark.parametrize("kind", over_http_too(ANSWERED, HTTP_KINDS))
def test_an_answer_is_computed_from_visible_rows(served: ScopedSql, key: str, kind: str) -> None:
    for sql, expected in ANSWERED[kind]:
        text = sql.replace("{database}", served.store.database)
        assert served.rows(text, key) == [[expected]], text


@pytest.mark.parametrize("sql", [sql for sqls in ANSWERED.values() for sql, _ in sqls if "throwIf(" in sql])
def test_these_conditions_would_fail_on_foreign_rows(served: ScopedSql, sql: str) -> None:
    answer = served.post(sql, ADMIN_KEY)
    assert answer.status_code == 422 or "throwIf(1)" in sql, answer.text


# Statements that must be refused, whatever they would show.
REFUSED: Final = {
    "physical tables": [
        *(f"SELECT * FROM {table}" for table in ("points_number", "series", "run_documents", "audit_events")),
        *(f"SELECT * FROM {table}" for table in ("access_keys", "access_key_uses", "log_positions", "rollups")),
        "SELECT count() FROM {database}.points_number FINAL",
        "SELECT 1 WHERE ('a', 'b', 'c', 'd') IN log_positions",
        "SELECT 1 WHERE ('a', 'b') IN access_key_uses",
        "SELECT 1 WHERE ('a', 'b') GLOBAL NOT IN {database}.access_key_uses",
        "SELECT count() FROM runs WHERE run_id IN run_states",
        "DESCRIBE TABLE access_keys",
        "SHOW CREATE TABLE audit_events",
        "EXISTS TABLE access_keys",
    ],
    "table functions": [
        "SELECT count() FROM merge('{database}', '^points_number$')",
        "SELECT count() FROM merge('points_number')",
        "SELECT count() FROM remote('127.0.0.1', '{database}', 'points_number')",
        "SELECT count() FROM cluster('default', '{database}', 'points_number')",
        "SELECT count() FROM clusterAllReplicas('default', view(SELECT * FROM numbers))",
        "SELECT count() FROM loop({database}.points_number) LIMIT 1",
        "SELECT count() FROM view(SELECT * FROM points_number)",
        "SELECT count() FROM mergeTreeIndex('{database}', 'points_number')",
        "SELECT count() FROM mergeTreeProjection('{database}', 'series', 'by_key')",
        "SELECT count() FROM mergeTreeAnalyzeIndexes('{database}', 'points_number')",
        "SELECT count() FROM dictionary('x')",
        "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT count() FROM numbers))",
        "SELECT * FROM executable('x', 'CSV', 'a String')",
        "SELECT dictGet('x', 'y', 1)",
        "SELECT joinGet('{database}.points_number', 'bits', 1)",
        "SELECT hasColumnInTable('{database}', 'points_number', 'bits')",
    ],
    "explanations that count": [
        "EXPLAIN SELECT count() FROM numbers",
        "EXPLAIN PLAN indexes = 1 SELECT count() FROM numbers",
        "EXPLAIN indexes = 1, projections = 1, json = 1 SELECT count() FROM numbers",
        "EXPLAIN ESTIMATE SELECT count() FROM numbers",
        "EXPLAIN PIPELINE SELECT count() FROM numbers",
        "EXPLAIN AST SELECT count() FROM numbers",
        "SELECT * FROM (EXPLAIN ESTIMATE SELECT count() FROM numbers)",
        "EXPLAIN CURRENT TRANSACTION",
    ],
    "settings": [
        "SELECT count() FROM numbers SETTINGS additional_table_filters = {}",
        "SELECT count() FROM (SELECT * FROM numbers SETTINGS additional_table_filters = {})",
        "SELECT count() FROM numbers SETTINGS additional_table_filters = DEFAULT",
        "SELECT count() FROM numbers SETTINGS `additional_table_filters` = {}",
        "SELECT count() FROM numbers UNION ALL SELECT count() FROM runs SETTINGS query_plan_merge_filters = 1",
        "WITH x AS (SELECT * FROM numbers SETTINGS optimize_move_to_prewhere = 1) SELECT count() FROM x",
        "SET additional_table_filters = {}",
        "SELECT getSetting('additional_table_filters')",
        "EXPLAIN SYNTAX SELECT count() FROM numbers SETTINGS additional_table_filters = {}",
    ],
    "reads before the filter": [
        "SELECT count() FROM numbers PREWHERE throwIf(value > 700) = 0",
        "SELECT _part FROM numbers",
        "SELECT bits FROM numbers",
    ],
    "the server": [
        "SELECT * FROM system.parts",
        "SELECT * FROM system.query_log",
        "SELECT * FROM system.tables",
        "SELECT * FROM system.columns",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.query_cache",
        "SELECT * FROM information_schema.tables",
        "SHOW PROCESSLIST",
        "SHOW TABLES FROM system",
        "SHOW DATABASES",
    ],
    "other statements": [
        "INSERT INTO points_number SELECT * FROM points_number",
        "CREATE VIEW v AS SELECT * FROM points_number",
        "CREATE TEMPORARY TABLE t AS SELECT * FROM numbers",
        "ALTER TABLE points_number DELETE WHERE 1",
        "SELECT 1; SELECT count() FROM points_number",
        "SELECT count() FROM numbers INTO OUTFILE '/tmp/x'",
        "SELECT count() FROM {table:Identifier}",
        "SELECT * APPLY(toString) FROM numbers",
        "EXECUTE AS admin SELECT 1",
        "KILL QUERY WHERE 1",
        "BACKUP DATABASE stepwell TO Memory('x')",
    ],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_statement_that_reaches_further_is_refused(served: ScopedSql, key: str, kind: str) -> None:
    for sql in REFUSED[kind]:
        text = sql.replace("{database}", served.store.database)
        answer = served.post(text, key)
        assert answer.status_code == 422, (text, answer.text)
        assert not shown(answer.text, text), (text, answer.text)


def test_what_describes_the_database_shows_nothing_of_others(served: ScopedSql, key: str) -> None:
    for sql in (
        *("SHOW TABLES", "SHOW FULL TABLES LIKE '%'", "DESCRIBE runs", "SHOW CREATE TABLE numbers", "EXISTS runs"),
        *("EXPLAIN SYNTAX SELECT * FROM numbers", "EXPLAIN QUERY TREE SELECT (SELECT max(value) FROM numbers)"),
        *("DESCRIBE (SELECT (SELECT max(name) FROM runs) AS name)", "EXPLAIN SYNTAX SELECT * FROM runs, metrics"),
    ):
        answer = served.post(sql, key)
        assert answer.status_code == 200, (sql, answer.text)
        assert not shown(answer.text, sql), (sql, answer.text)
    assert {row[0] for row in served.rows("SHOW TABLES", key)} == set(PUBLIC_VIEWS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT throwIf(1, concat('it is ', (SELECT max(name) FROM runs)))",
        "SELECT CAST((SELECT arrayStringConcat(groupArray(run_id), ' ') FROM runs), 'UInt8')",
        "SELECT JSONExtract((SELECT max(config) FROM runs), 'no type')",
        "SELECT parseDateTime((SELECT max(value) FROM strings), '%Y')",
        "SELECT reinterpret(1, (SELECT max(name) FROM runs))",
        "SELECT unknown_column FROM runs",
        "SELECT arrayElement([1, 2], value) FROM strings",
    ],
)
def test_texts_of_errors_have_visible_values_only(served: ScopedSql, key: str, sql: str) -> None:
    answer = served.post(sql, key)
    assert answer.status_code == 422
    assert not shown(answer.text, sql), answer.text


def test_parameters_are_values(served: ScopedSql, key: str) -> None:
    sql = "SELECT count() FROM numbers WHERE entity = {e:String}"
    assert served.post(sql, key, e="other").json()["rows"] == [[0]]
    assert served.post(sql, key, e="me' OR 1 OR entity = 'other").json()["rows"] == [[0]]
    assert served.post(sql, key, e="me").json()["rows"] == [[2 * ROWS]]


def test_nothing_of_a_request_lifts_the_filter(served: ScopedSql, key: str) -> None:
    for name in ("additional_table_filters", "query_plan_merge_filters", "readonly"):
        answer = served.post("SELECT count() FROM numbers", key, path=f"/api/v1/sql?{name}=%7B%7D")
        assert answer.status_code == 422 or answer.json()["rows"] == [[2 * ROWS]]
        answer = served.post("SELECT count() FROM numbers", key, **{name: "{}"})
        assert answer.json()["rows"] == [[2 * ROWS]]


@pytest.mark.both_dsns
def test_settings_of_one_statement_are_gone_with_it(served: ScopedSql, key: str) -> None:
    every = ROWS * (len(MINE) + len(FOREIGN))
    for sql in ("SELECT count() FROM numbers", "SELECT throwIf(1)", "SELECT count() FROM numbers"):
        served.post(sql, key)
        # More than the connections of the pool.
        for _ in range(6):
            assert served.rows("SELECT count() FROM numbers", ADMIN_KEY) == [[every]]
            assert served.store.query("SELECT count() AS n FROM {db}.numbers").column("n").to_pylist() == [every]


def test_a_scope_of_nothing_sees_nothing(served: ScopedSql) -> None:
    for grant in ("read:stranger", "read:me/nothing", "write:stranger/nothing"):
        for view in DATA_VIEWS:
            assert served.rows(f"SELECT count() FROM {view}", served.add_key(grant)) == [[0]]


def test_a_scope_of_very_many_projects_is_refused_with_the_remedy(served: ScopedSql) -> None:
    key = served.add_key(*(f"read:me/{'ü' * 100}{number}" for number in range(60)))
    answer = served.post("SELECT count() FROM numbers", key)
    assert answer.status_code == 422
    assert "whole entities" in answer.json()["errors"][0]["remedy"]


READ: Final = re.compile(r"ReadFrom(?!SystemOne|PreparedSource|RecursiveCTE)")


def steps_before_reads(plan: dict[str, Any], parents: tuple[dict[str, Any], ...] = ()) -> Iterator[Any]:
    """Yield each step of a plan that reads a table, with the steps after it, the next one first."""
    if READ.match(plan["Node Type"]):
        yield plan, parents
    for child in plan.get("Plans", []):
        yield from steps_before_reads(child, (plan, *parents))


def plan_of(store: Store, sql: str, identity: Identity) -> dict[str, Any]:
    scope = row_scope(identity)
    assert scope is not None
    guard = guard_rows(store, scope)
    text = f"EXPLAIN PLAN json = 1, actions = 1, indexes = 1, description = 1 {sql}"
    content = json.loads(store.query_bytes(text, None, "TSVRaw", guard.settings))
    plan: dict[str, Any] = content[0]["Plan"]
    return plan


ME: Final = Identity("me", Method.KEY, tuple(Grant.parse(grant) for grant in GRANTS), "k1")


@pytest.mark.parametrize("kind", sorted(ANSWERED))
def test_the_filter_is_a_step_of_its_own_after_each_read(served: ScopedSql, kind: str) -> None:
    """Conditions of a statement are computed after the filter, and never with it: no row is hidden by luck."""
    for sql, _ in ANSWERED[kind]:
        text = sql.replace("{database}", served.store.database).rstrip(";")
        reads = list(steps_before_reads(plan_of(served.store, text, ME)))
        for read, after in reads:
            assert "Prewhere info" not in read, sql
            assert after[0]["Node Type"] == "Filter", (sql, after[0])
            description = re.sub(r"[()]|\[split\]", "", after[0].get("Description", ""))
            assert set(description.split(" + ")) <= {"additional filter", "Compute alias columns"}, (sql, after[0])


def indexes(plan: dict[str, Any]) -> list[Any]:
    found = [read.get("Indexes") for read, _ in steps_before_reads(plan)]
    return [(index["Selected Parts"], index["Selected Granules"]) for read in found for index in read or []]


def test_reading_costs_the_same_whether_or_not_a_foreign_name_exists(served: ScopedSql) -> None:
    """The work of a count is the rows that are read: they do not depend on what others have."""
    for view in DATA_VIEWS:
        statement = "SELECT count() FROM {} WHERE entity = '{}' AND project = 'digits'"
        existing, missing = (plan_of(served.store, statement.format(view, name), ME) for name in ("other", "othes"))
        assert indexes(existing) == indexes(missing), view


def test_every_table_is_filtered_or_hidden(served: ScopedSql) -> None:
    """A new table has the columns `entity` and `project`, or is named here."""
    scope = row_scope(ME)
    assert scope is not None
    guard = guard_rows(served.store, scope)
    filtered = set(re.findall(rf"'{served.store.database}\.(\w+)':", guard.settings["additional_table_filters"]))
    assert filtered >= {"points_number", "series", "run_documents", "audit_events"}
    assert guard.tables - filtered - set(PUBLIC_VIEWS) - ACCESS_TABLES <= NOWHERE
    for table in guard.tables - set(PUBLIC_VIEWS):
        answer = served.post(f"SELECT * FROM {table}", served.add_key(*GRANTS))
        assert answer.status_code == 422, table


PROJECTS: Final = MINE + FOREIGN
RESOURCES: Final = sorted({Resource(entity) for entity, _ in PROJECTS} | {Resource(*one) for one in PROJECTS})


@given(
    st.lists(st.builds(Grant, st.sampled_from(Scope), st.sampled_from(RESOURCES)), max_size=4),
    st.sampled_from(DATA_VIEWS),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_view_has_the_rows_that_the_grants_cover(served: ScopedSql, grants: list[Grant], view: str) -> None:
    identity = Identity("any", Method.OIDC, tuple(grants))
    scope = row_scope(identity)
    assert scope is not None
    sql = f"SELECT * FROM {{db}}.{view} ORDER BY ALL"
    every = json.loads(served.store.query_bytes(sql, None, "JSONCompact"))["data"]
    filtered = served.store.query_bytes(sql, None, "JSONCompact", guard_rows(served.store, scope).settings)
    assert json.loads(filtered)["data"] == [row for row in every if identity.allows(Scope.READ, row[0], row[1])]
    assert "statistics" not in json.loads(filtered)
