"""Lists of runs with a cache: after any changes of the runs, they are those that are read without one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from stepwell_query.api.params.runs import RunsQuery
from stepwell_query.encoding import json_bytes
from stepwell_query.runs import known_lists
from stepwell_query.runs.fingerprint import read_fingerprint
from stepwell_query.runs.known_details import KnownDetails
from stepwell_query.runs.known_lists import KnownLists
from stepwell_query.runs.list import read_runs
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUN_CONDITION
from stepwell_schemas.limits import MIB, VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import BEGIN_MS, RunWriter

CHANGES = ("flush", "rewrite", "first", "text", "edit", "define", "finish", "late view", "delete", "list")
REQUESTS: tuple[dict[str, Any], ...] = (
    {},
    {"columns": ["config.lr", "summary.loss"], "order": "run_id"},
    {"filter": "summary.loss > 2 or summary.'by hand' > 2 or not config.lr < 2", "order": "-summary.loss.min"},
)


class Run:
    """A run that changes, and what its document has."""

    def __init__(self, store: Store, path: RunPath) -> None:
        self.store = store
        self.writer = RunWriter(store, path)
        self.step = 0
        self.document: dict[str, Any] = {"config": {"lr": 0}}
        self.write()

    def write(self, **columns: Any) -> None:
        """Write the document with some columns changed."""
        self.document |= columns
        self.writer.document(**self.document)

    def change(self, change: str, number: int) -> None:
        """Apply one of CHANGES."""
        self.step += 1
        match change:
            case "flush":
                self.writer.numbers("loss", [self.step], [number])
            case "rewrite":
                self.writer.numbers("loss", [max(self.step - 1, 0)], [-number])
            case "first":
                self.writer.numbers(f"metric {number}", [0], [number])
            case "text":
                self.writer.strings("loss", [self.step], [f"text {number}"])
            case "edit":
                self.write(display_name=f"name {number}", config={"lr": number}, summary={"by hand": number})
            case "define":
                self.write(metric_definitions=[{"name": "loss", "summary": "min,first"}])
            case "finish":
                self.write(state="finished", finished_ms=BEGIN_MS + number)
            case "late view":
                self.write(config={"lr": -number})
                self._delete("run_texts", f"version = {self.writer.offset << VERSION_ROW_BITS:d}")
            case "delete":
                for table in ("run_documents", "run_texts", "run_values", "run_activity", "series"):
                    self._delete(table, "1")

    def _delete(self, table: str, condition: str) -> None:
        sql = f"DELETE FROM {{db}}.{table} WHERE {RUN_CONDITION} AND {condition}"
        self.store.command(sql, self.writer.run._asdict())


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_list_with_a_cache_is_the_list_without_one(
    chdb_store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(known_lists, "_UNTRIED_MAX", 0)
    random, known, pages = Random(seed), KnownDetails(MIB), KnownLists(MIB)
    runs = [Run(chdb_store, RunPath("me", "known", f"r{number}")) for number in range(3)]

    def check() -> None:
        for query in REQUESTS:
            request = RunsQuery(**query).request(BEGIN_MS + 25)
            without = json_bytes(read_runs(chdb_store, "me", "known", request))
            for _ in range(2):
                assert pages.read(chdb_store, "me", "known", request, known) == without

    check()
    # The last run stays, since a project without runs is unknown.
    for change in random.sample(CHANGES, len(CHANGES)):
        run = random.choice(runs[:-1] if change == "delete" else runs)
        run.change(change, random.randint(1, 4))
        check()


def test_a_late_row_of_a_requested_path_changes_the_fingerprint(chdb_store: Store) -> None:
    writer = RunWriter(chdb_store, RunPath("me", "known", "r0")).document(config={"lr": 1}, summary={"loss": 1})
    refs = {name: RunsQuery(order=name).request().refs for name in ("config.lr", "summary.loss", "summary.loss.min")}

    def read() -> dict[str, Any]:
        return {name: read_fingerprint(chdb_store, "me", "known", own) for name, own in refs.items()}

    whole = read()
    for source, path in (("config", "lr"), ("config", ""), ("summary", "loss"), ("summary", "")):
        values = {**writer.run._asdict(), "source": source, "path": path}
        row = f"{RUN_CONDITION} AND source = {{source:String}} AND path = {{path:String}}"
        chdb_store.command(f"DELETE FROM {{db}}.run_values WHERE {row}", values)
        late = read()
        assert {name for name in refs if late[name] != whole[name]} == {
            name for name in refs if name.startswith(source)
        }
        whole = late
