"""The SQL of the primary writer selects the writer that the rule in Python selects."""

from __future__ import annotations

import random

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.writers import primary_sql, primary_writer

NAMES = ["", "rank0", "rank1", "rank10", "rank2", "rank0.2", "fork-7", "é", "🚀", "\uffff", "Rank0", "rank0 "]
CASES = 300


def test_sql_and_python_agree(store: Store) -> None:
    chance = random.Random(4)
    cases = [
        {name: chance.randint(0, 3) for name in chance.sample(NAMES, chance.randint(1, len(NAMES)))}
        for _ in range(CASES)
    ]
    rows = [(number, name, version) for number, case in enumerate(cases) for name, version in case.items()]
    sql = (
        f"SELECT number, {primary_sql('writer', 'first_version')} AS primary_writer FROM"
        " (SELECT arrayJoin({rows:Array(Tuple(UInt32, String, UInt64))}) AS row, row.1 AS number,"
        " row.2::LowCardinality(String) AS writer, row.3 AS first_version) GROUP BY number ORDER BY number"
    )
    found = store.query(sql, {"rows": rows}).column("primary_writer").to_pylist()
    assert found == [primary_writer(case) for case in cases]
