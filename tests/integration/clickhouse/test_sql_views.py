"""The public views read only the granules of the requested rows, as shown by EXPLAIN."""

from __future__ import annotations

import re

import pytest

from stepwell_schemas.clickhouse.store import Store

# More than a granule (8,192 rows) for each of the runs' neighbours, half of them written twice at a step.
FILL = [
    "INSERT INTO {db}.points_number (entity, project, run_id, key, step, bits, version)"
    " SELECT 'e', 'p', concat('r', toString(intDiv(number, 4000))), concat('k', toString(intDiv(number, 100) % 40)),"
    " number % 100, reinterpretAsUInt64(toFloat64(number)), number FROM numbers(200000)",
    *(
        f"INSERT INTO {{db}}.points_{table} (entity, project, run_id, key, step, version)"
        " SELECT entity, project, run_id, key, step, version FROM {db}.points_number"
        for table in ("string", "bool", "other", "media")
    ),
    "INSERT INTO {db}.series (entity, project, run_id, key, kind, totals, rewritten, stream)"
    " SELECT 'e', 'p', concat('r', toString(intDiv(number, 2000))), concat('k', toString(number % 400)),"
    " ['number', 'string', 'bool', 'other', 'image'][number % 5 + 1],"
    " (1, 0, 100, 0, 0, 0, 0, 0, 0), number % 2, '' FROM numbers(100000)",
    "INSERT INTO {db}.run_documents (entity, project, run_id, config, summary, version)"
    " SELECT 'e', 'p', concat('r', toString(number)), '{}', '{}', number FROM numbers(40000)",
    "INSERT INTO {db}.run_activity (entity, project, run_id) SELECT 'e', 'p', concat('r', toString(number))"
    " FROM numbers(40000)",
    "INSERT INTO {db}.step_conflict_log (entity, project, run_id, version)"
    " SELECT 'e', 'p', concat('r', toString(intDiv(number, 400))), number FROM numbers(80000)",
]
RUN = "entity = 'e' AND project = 'p' AND run_id = 'r7'"
KEY = f"{RUN} AND key = 'k7'"
ASKED = [
    *((view, KEY) for view in ("numbers", "strings", "bools", "others", "media", "metrics")),
    *((view, RUN) for view in ("numbers", "media", "metrics", "runs", "step_conflicts")),
    ("numbers", f"{RUN} AND key = 'k7' AND step BETWEEN 10 AND 20"),
    ("numbers", "entity = 'e' AND project = 'p' AND run_id IN ('r7', 'r8') AND key = 'k7'"),
]


def granules(store: Store, sql: str) -> dict[str, list[tuple[int, int]]]:
    """Return, for each read of each table in a statement, the granules read and the total."""
    plan = store.query_bytes(f"EXPLAIN indexes = 1 {sql}", None, "TSVRaw").decode()
    found: dict[str, list[tuple[int, int]]] = {}
    for reading in plan.split("ReadFromMergeTree (")[1:]:
        table = re.match(r"[\w.]+", reading)
        counts = re.findall(r"Granules: (\d+)/(\d+)", reading)
        assert table is not None
        assert counts, f"no index is used: {reading}"
        found.setdefault(table[0].partition(".")[2], []).append((int(counts[-1][0]), int(counts[-1][1])))
    return found


@pytest.fixture
def filled(chdb_store: Store) -> Store:
    for statement in FILL:
        chdb_store.command(statement)
    return chdb_store


def test_every_view_reads_only_the_granules_asked_for(filled: Store) -> None:
    for view, condition in ASKED:
        for table, readings in granules(filled, f"SELECT * FROM {{db}}.{view} WHERE {condition}").items():
            for read, there in readings:
                assert there >= 5, f"{view} over {table}: the test has too few granules"
                most = 4 if " IN " in condition else 2
                assert read <= most, f"{view} over {table} reads {read} of {there} granules where {condition}"
