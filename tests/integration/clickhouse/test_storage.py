"""Storage of points: migration 9 keeps all values, even if interrupted, and the guide's queries show the sizes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.runner import migrate, migrations
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.migrated import migrate_below
from support.factories.points import RunWriter
from support.paths import ROOT
from support.servers.stack import Stack

GUIDE = ROOT / "docs" / "operating.md"
BY_BITS = 9
(STATEMENTS,) = (migration.statements for migration in migrations() if migration.number == BY_BITS)
# 0, -0, the smallest number, infinities, NaNs that differ in sign and payload, 1/3, a float32.
BITS = [
    0, 1 << 63, 1, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF8_0000_0000_0001,
    0x7FF0_0000_0000_0001, *struct.unpack("<2Q", struct.pack("<2d", 1 / 3, float(np.float32(0.1)))),
]  # fmt: skip
SHOWN = "SELECT step, reinterpretAsUInt64(value) AS bits, exact FROM {db}.numbers ORDER BY step"


@pytest.fixture
def before(stack: Stack, new_database: str) -> Iterator[Store]:
    """A database of the previous version, which stores numbers as Float64, with one number written twice."""
    with connect(stack.dsn("chdb"), new_database) as store:
        migrate_below(store, BY_BITS)
        for version, chosen in ((1, BITS), (2, BITS[:1])):
            store.command(
                "INSERT INTO {db}.points_number (entity, project, run_id, key, step, value, exact, version)"
                " SELECT 'e', 'p', 'r', 'k', number, reinterpretAsFloat64({bits:Array(UInt64)}[number + 1]), 'x',"
                " {version:UInt64} FROM numbers(length({bits:Array(UInt64)}))",
                {"bits": chosen, "version": version},
            )
        yield store
        store.command("DROP DATABASE {db}")


@pytest.mark.parametrize("cut", range(len(STATEMENTS) + 1))
def test_what_was_stored_before_is_kept_to_the_bit(before: Store, cut: int) -> None:
    wanted = [{"step": step, "bits": bits, "exact": "x"} for step, bits in enumerate(BITS)]
    assert before.query(SHOWN).to_pylist() == wanted
    for statement in STATEMENTS[:cut]:
        before.command(statement)
    migrate_below(before, BY_BITS + 1)
    assert before.query(SHOWN).to_pylist() == wanted
    before.command("OPTIMIZE TABLE {db}.points_number FINAL")
    assert before.query(SHOWN).to_pylist() == wanted
    done = before.query("SELECT max(number) AS number FROM {db}.schema_migrations")
    assert done.to_pylist() == [{"number": BY_BITS}]


def test_later_versions_keep_it_too(before: Store) -> None:
    wanted = before.query(SHOWN).to_pylist()
    assert BY_BITS in [migration.number for migration in migrate(before)]
    assert before.query(SHOWN).to_pylist() == wanted
    RunWriter(before, RunPath("e", "p", "r2")).numbers("k", [0], [-0.5])
    before.command("OPTIMIZE TABLE {db}.points_number FINAL")
    assert before.query(SHOWN.replace("ORDER", "WHERE run_id = 'r' ORDER")).to_pylist() == wanted
    assert before.query("SELECT value FROM {db}.numbers WHERE value < -0.25 AND run_id = 'r2'").num_rows == 1


def test_the_guide_tells_what_a_point_takes(chdb_store: Store) -> None:
    section = GUIDE.read_text("utf-8").split("\n## Storage\n")[1].split("\n## ")[0]
    tables, columns = (
        text.replace("'stepwell'", f"'{chdb_store.database}'")
        for text in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    )
    # Parts of more than ten megabytes have a file for each column.
    points = 700_000
    values = np.random.default_rng(0).normal(1.5, 0.1, points).astype(np.float32).astype(np.float64)
    RunWriter(chdb_store, RunPath("e", "p", "r")).numbers("loss", np.arange(points), values)
    chdb_store.command("OPTIMIZE TABLE {db}.points_number FINAL")
    of_table = {row["table"]: row["bytes_a_point"] for row in chdb_store.query(tables).to_pylist()}
    of_column = {row["column"]: row["bytes_a_point"] for row in chdb_store.query(columns).to_pylist()}
    # The noise of such values is 21.7 bits.
    assert 21.7 / 8 < of_column["bits"] < 3.2
    assert sum(of_column.values()) == pytest.approx(of_table["points_number"], rel=0.02)
    assert of_table["points_number"] < 4
    assert 0 < of_table["rollups"] < 1
