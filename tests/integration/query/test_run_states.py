"""States of runs as every reader serves them: one rule of the stored state, the last sign of life and the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from stepwell_query.runs.live_updates import read_positions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.migrations.run_states_view import set_crashed_after
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.run_states import alive_since, served_state
from support.factories.points import RunWriter
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

_SECONDS = 600.0
_STORED: dict[str, tuple[str, int]] = {
    "fresh": ("running", 0),
    "silent": ("running", 3_600),
    "back": ("running", 3_600),
    "ended": ("finished", 3_600),
    "stopped": ("killed", 3_600),
}
"""The state of each run, and the seconds since its start; `back` has logged since."""

_SIGN = """
INSERT INTO {db}.run_activity (entity, project, run_id, last_timestamp)
SELECT 'me', 'p', {run:String}, fromUnixTimestamp64Milli({at:Int64})
"""


@pytest.fixture
def runs(chdb_store: Store) -> dict[str, str]:
    """The served state of each run, by the pure rule."""
    now = time.time_ns() // 1_000_000
    states = {}
    for run_id, (state, age) in _STORED.items():
        started = now - 1_000 * age
        RunWriter(chdb_store, RunPath("me", "p", run_id)).document(state=state, created_ms=started).numbers(
            "loss", [0], [1.0]
        )
        last_sign = now if run_id == "back" else started
        chdb_store.command(_SIGN, {"run": run_id, "at": last_sign})
        states[run_id] = served_state(state, last_sign, alive_since(now, _SECONDS))
    return states


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store, crashed_after_seconds=_SECONDS, query_cache_bytes=2**20) as service:
        yield service


@pytest.fixture
def patient(chdb_store: Store) -> Iterator[Service]:
    """The same runs as a service shows them to which no run is silent for too long."""
    with service_over(chdb_store, crashed_after_seconds=1e9) as service:
        yield service


async def _list(service: Service, **query: Any) -> dict[str, Any]:
    answer = await service.client.get("/api/v1/projects/me/p/runs", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_all_readers_serve_the_state_of_the_rule(
    service: Service, runs: dict[str, str], chdb_store: Store
) -> None:
    assert runs == {
        "fresh": "running", "silent": "crashed", "back": "running", "ended": "finished", "stopped": "killed",
    }  # fmt: skip
    listed = await _list(service, order="state")
    assert {run["run_id"]: run["state"] for run in listed["runs"]} == runs
    assert [run["state"] for run in listed["runs"]] == sorted(runs.values())
    for run_id, state in runs.items():
        assert (await service.json(RunPath("me", "p", run_id)))["state"] == state
    for state in ("running", "crashed", "finished", "killed", "failed"):
        wanted = {run_id for run_id, served in runs.items() if served == state}
        page = await _list(service, filter=f'state = "{state}"')
        assert ({run["run_id"] for run in page["runs"]}, page["total"]) == (wanted, len(wanted))
    since = alive_since(time.time_ns() // 1_000_000, _SECONDS)
    assert {run: position[3] for run, position in read_positions(chdb_store, "me", "p", since).items()} == runs
    set_crashed_after(chdb_store, _SECONDS)
    viewed = chdb_store.query("SELECT run_id, state FROM {db}.runs").to_pylist()
    assert {row["run_id"]: row["state"] for row in viewed} == runs


async def test_groups_by_state_follow_the_time(service: Service, patient: Service, runs: dict[str, str]) -> None:
    body = {"runs": [f"me/p/{run}" for run in runs], "keys": ["loss"], "group_by": "state"}

    async def grouped(service: Service) -> tuple[dict[str, list[str]], str]:
        answer = await service.client.post("/api/v1/groups", json=body)
        assert answer.status_code == 200, answer.text
        groups = {group["value"]: sorted(group["runs"]) for group in answer.json()["groups"]}
        return groups, answer.headers["etag"]

    states = set(runs.values())
    wanted = {state: sorted(f"me/p/{run}" for run, served in runs.items() if served == state) for state in states}
    first, tag = await grouped(service)
    assert first == wanted
    assert (await grouped(service))[1] == tag
    later, other_tag = await grouped(patient)
    assert "crashed" not in later
    assert other_tag != tag


def test_a_service_writes_its_setting_into_the_view(runs: dict[str, str], chdb_store: Store) -> None:
    assert runs["silent"] == "crashed"
    state = "SELECT state FROM {db}.runs WHERE run_id = 'silent'"
    for seconds, changed, served in ((300.0, False, "crashed"), (1e6, True, "running"), (1e6, False, "running")):
        assert set_crashed_after(chdb_store, seconds) == changed
        assert chdb_store.query(state).column("state").to_pylist() == [served]
    types = chdb_store.query("SELECT toTypeName(state) AS type FROM {db}.runs LIMIT 1").column("type").to_pylist()
    assert types == ["LowCardinality(String)"]
