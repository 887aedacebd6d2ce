"""The memory of what recent lists have read of runs: read again when a run has changed, and after some time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from stepwell_query.encoding import NotFinite
from stepwell_query.runs import known_details
from stepwell_query.runs.known_details import KnownDetails
from stepwell_query.runs.metadata import RunMetadata
from stepwell_query.runs.summary_reader import Summary
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.run_states import CRASHED, RUNNING

Reads = list[list[str]]


class Tables(Store):
    """A store that is only passed through; the functions that read it are replaced."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {"one": 1, "other": 1}
        self.offsets: dict[str, int] = {"one": 7, "other": 7}
        self.read: Reads = []

    def query(self, sql: str, parameters: Any = None) -> pa.Table:
        raise AssertionError(sql)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    """The store, with runs whose details follow from their versions and offsets."""
    own = Tables()

    def metadata(_store: Store, _entity: str, _project: str, run_ids: list[str], since: int) -> list[RunMetadata]:
        assert since == 0
        own.read.append(list(run_ids))
        texts = dict.fromkeys(("config", "summary", "metric_definitions"), "{}")
        state = {"state": RUNNING, "last_activity": 100}
        return [
            {"run_id": run_id, "version": own.versions[run_id], "mark": own.offsets[run_id], **texts, **state}
            for run_id in run_ids
        ]

    def summaries(_store: Store, rows: list[RunMetadata], _not_finite: Any, _keys: Any) -> dict[str, Summary]:
        return {row["run_id"]: {"loss": own.offsets[row["run_id"]]} for row in rows}

    def marks(_store: Store, _entity: str, _project: str, run_ids: list[str]) -> dict[str, Any]:
        return {run_id: own.offsets[run_id] for run_id in run_ids if own.offsets[run_id] >= 0}

    monkeypatch.setattr(known_details, "read_metadata", metadata)
    monkeypatch.setattr(known_details, "read_summaries", summaries)
    monkeypatch.setattr(known_details, "read_marks", marks)
    return own


def read(known: KnownDetails, tables: Tables, *run_ids: str, since: int = 0, **how: Any) -> dict[str, tuple[int, str]]:
    """Return the last value and the state of runs, as a list would show them."""
    versions = {run_id: tables.versions[run_id] for run_id in run_ids}
    details = [run.served(since) for run in known.read(tables, "e", "p", versions, **how)]
    return {metadata["run_id"]: (summary["loss"], metadata["state"]) for metadata, summary in details}


def test_runs_are_read_once_while_their_document_and_activity_stay_the_same(tables: Tables) -> None:
    known = KnownDetails(MIB)
    both = read(known, tables, "one", "other")
    assert read(known, tables, "other", "one") == both
    assert list(read(known, tables, "other", "one")) == ["other", "one"]
    tables.offsets["one"] = 8
    assert read(known, tables, "one", "other") == both | {"one": (8, RUNNING)}
    tables.versions["other"] = 2
    read(known, tables, "one", "other")
    assert [runs for runs in tables.read if runs] == [["one", "other"], ["one"], ["other"]]


def test_a_run_without_activity_is_always_read(tables: Tables) -> None:
    known = KnownDetails(MIB)
    tables.offsets["one"] = -1
    for _ in range(2):
        read(known, tables, "one")
    assert tables.read == [["one"], ["one"]]


def test_the_state_follows_the_time_although_the_run_is_known(tables: Tables) -> None:
    known = KnownDetails(MIB)
    states = [read(known, tables, "one", since=since)["one"][1] for since in (100, 101, 100)]
    assert states == [RUNNING, CRASHED, RUNNING]
    assert [runs for runs in tables.read if runs] == [["one"]]


def test_other_metrics_and_forms_are_other_requests(tables: Tables) -> None:
    known = KnownDetails(MIB)
    requests: list[dict[str, Any]] = [{}, {"keys": ["loss"]}, {"keys": []}, {"not_finite": NotFinite.LITERAL}]
    for how in [*requests, *requests]:
        read(known, tables, "one", **how)
    assert len([runs for runs in tables.read if runs]) == len(requests)


@pytest.mark.parametrize("max_bytes", [0, 100])
def test_a_cache_that_is_too_small_keeps_nothing(tables: Tables, max_bytes: int) -> None:
    known = KnownDetails(max_bytes)
    for _ in range(2):
        read(known, tables, "one")
    assert tables.read == [["one"], ["one"]]


def test_what_is_known_is_read_again_after_a_while(tables: Tables) -> None:
    now = [0.0]
    known = KnownDetails(MIB, lambda: now[0])
    for now[0] in (0.0, 29.0, 31.0):
        read(known, tables, "one")
    assert [runs for runs in tables.read if runs] == [["one"], ["one"]]
