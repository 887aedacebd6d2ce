"""Rollups of stored points: filled, rebuilt and checked on the real engine."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import stepwell_schemas.rollups.check
import stepwell_schemas.rollups.rebuild
from stepwell_deploy.cli.app import app
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rollups.check import CheckResult, check, settled
from stepwell_schemas.rollups.rebuild import Scope, fill, rebuild, works
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.rollups import comparable, stored_rollups, wanted_rollups
from support.servers.stack import Stack

pytestmark = pytest.mark.one_dsn

RUNS = [RunPath("me", "p", "a's 🚀"), RunPath("me", "p", "b"), RunPath("me", "q", "c")]


def write(store: Store, run: RunPath, seed: int, length: int) -> None:
    """Write two series with gaps, odd values and values that are overwritten."""
    rng = np.random.default_rng(seed)
    writer = RunWriter(store, run, rolled=False).document()
    steps = np.concatenate([np.arange(length), np.arange(10**6, 10**6 + 200), [10**12]])
    for key in ("loss", "it's \\ a key"):
        values = rng.normal(size=len(steps))
        values[rng.random(len(steps)) < 0.05] = np.nan
        values[300:500] = np.nan
        writer.numbers(key, steps, values)
        writer.numbers(key, [3, length - 2, 10**6], [np.inf, -0.0, 1e308])


def everything(store: Store, scope: Scope) -> CheckResult:
    """Check all runs of a scope."""
    found = CheckResult()
    for work in works(store, scope):
        check(store, work, found)
    return settled(store, found, lambda _: None)


@pytest.fixture
def written(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three runs with points and without rollups; the first is large enough to be processed in parts."""
    monkeypatch.setattr(stepwell_schemas.rollups.rebuild, "PIECE_POINTS", 5_000)
    monkeypatch.setattr(stepwell_schemas.rollups.check, "_QUIET_TRIES", 2)
    for seed, (run, length) in enumerate(zip(RUNS, (5_000, 600, 1_000), strict=True)):
        write(store, run, seed, length)
    return store


def test_filled_rollups_are_what_the_points_give(written: Store) -> None:
    chosen = works(written, Scope())
    assert [work.runs for work in chosen] == [RUNS[:1], RUNS[1:]]
    for work in [*chosen, *chosen]:
        fill(written, work)
    buckets = 0
    for run in RUNS:
        wanted = wanted_rollups(written, run.run_id)
        assert {level for _, level, _ in wanted} == {7, 12, 17, 22, 27}
        assert comparable(stored_rollups(written, run.run_id)) == comparable(wanted)
        buckets += len(wanted)
    found = everything(written, Scope())
    assert (found.buckets, found.differing) == (buckets, 0)


def test_what_differs_is_named_and_rebuilt(written: Store) -> None:
    for work in works(written, Scope()):
        fill(written, work)
    run = {"run": RUNS[0].run_id}
    where = "run_id = {run:String} AND key = 'loss'"
    rows = f"{{db}}.rollups FINAL WHERE {where} AND level = 7"
    for statement in (
        f"INSERT INTO {{db}}.rollups SELECT * REPLACE (total + exp2(-40) AS total, 7 AS version)"
        f" FROM (SELECT * FROM {rows} AND bucket = 5)",
        f"INSERT INTO {{db}}.rollups SELECT * REPLACE (50 AS bucket) FROM (SELECT * FROM {rows} AND bucket = 6)",
        f"DELETE FROM {{db}}.rollups WHERE {where} AND level = 12 AND bucket = 0",
    ):
        written.command(statement, run)
    found = everything(written, Scope())
    named = {(one.path, one.key, one.level, one.bucket, one.what) for one in found.differences}
    assert named == {
        (RUNS[0], "loss", 7, 5, "different"),
        (RUNS[0], "loss", 12, 0, "missing"),
        (RUNS[0], "loss", 7, 50, "superfluous"),
        # A row is compared with the aggregate of the level below, correct or not.
        (RUNS[0], "loss", 12, 1, "different"),
        (RUNS[0], "loss", 17, 0, "different"),
    }
    assert found.differing == len(named)
    assert everything(written, Scope("me", "q")).differing == 0
    for work in works(written, Scope(*RUNS[0])):
        rebuild(written, work)
    assert everything(written, Scope()).differing == 0
    assert comparable(stored_rollups(written, RUNS[0].run_id)) == comparable(wanted_rollups(written, RUNS[0].run_id))


def test_a_row_that_a_later_flush_computed_is_left_alone(written: Store) -> None:
    (work,) = works(written, Scope(*RUNS[1]))
    fill(written, work)
    row = "SELECT * REPLACE (9 AS version) FROM {db}.rollups WHERE run_id = 'b' AND level = 7 AND bucket = 1 LIMIT 1"
    written.command(f"INSERT INTO {{db}}.rollups {row}")
    versions = written.query("SELECT max(version) AS n FROM {db}.rollups WHERE run_id = 'b'").column("n").to_pylist()
    rebuild(written, work)
    again = written.query("SELECT max(version) AS n FROM {db}.rollups WHERE run_id = 'b'").column("n").to_pylist()
    assert versions == again == [9]


def test_points_of_before_get_their_rollups_by_the_migration(written: Store) -> None:
    written.command("DROP TABLE {db}.rollups SYNC")
    written.command("ALTER TABLE {db}.run_activity DROP COLUMN rebuilt_at")
    written.command("DELETE FROM {db}.schema_migrations WHERE number IN (7, 12, 26)")
    assert [migration.number for migration in migrate(written)] == [7, 12, 26]
    assert comparable(stored_rollups(written, "b")) == comparable(wanted_rollups(written, "b"))
    assert everything(written, Scope()).differing == 0


def stepwell(store: Store, stack: Stack, *arguments: str, code: int = 0) -> Any:
    """Return the output of `stepwell rollups … --json` over HTTP."""
    settings = {"STEPWELL_CLICKHOUSE_DSN": stack.dsn("http"), "STEPWELL_CLICKHOUSE_DATABASE": store.database}
    done = CliRunner().invoke(app, ["rollups", *arguments, "--json"], env=settings, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_the_commands(chdb_store: Store, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    # No ingestor is writing, so nothing has to be waited for between comparisons.
    monkeypatch.setattr(stepwell_schemas.rollups.check, "_QUIET_SECONDS", 0)
    for run in RUNS[1:]:
        write(chdb_store, run, 0, 600)
    assert stepwell(chdb_store, stack, "rebuild", "me/p/b") == {"runs": 1, "points": 2 * 804}
    report = stepwell(chdb_store, stack, "check", code=1)
    # Rows above a missing row are not reported.
    assert report["differing"] == sum(level == 7 for _, level, _ in wanted_rollups(chdb_store, "c"))
    first = report["differences"][0]
    assert (first["run"], first["what"], first["stored"]) == ("me/q/c", "missing", None)
    assert (first["key"], first["level"], first["bucket"]) == ("it's \\ a key", 7, 0)
    assert (first["from"], first["to"]) == (0, 127)
    assert (first["computed"]["max_value"], first["computed"]["max_step"]) == ("inf", 3)
    assert stepwell(chdb_store, stack, "check", "me/p")["differing"] == 0
    assert "entity/project/run_id" in stepwell(chdb_store, stack, "check", "me", code=2)
