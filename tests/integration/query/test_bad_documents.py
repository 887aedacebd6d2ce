"""Rows that no ingestor would store today: every answer is strict JSON, and one bad run hides no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import RunWriter, gathered
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = pytest.mark.anyio

PROJECT = "/api/v1/projects/me/digits"
DEEP = '{"a":' * 900 + "1" + "}" * 900
BAD = {
    "nan": '{"lr": NaN, "x": [-Infinity]}',
    "huge": '{"lr": 1e999}',
    "surrogate": '{"lr": "\\ud800", "\\udfff": 1}',
    "deep": DEEP,
    "digits": '{"lr": ' + "9" * 5_000 + "}",
    "none": "{",
    "list": "[1, 2]",
    "text": "not JSON at all",
    "empty": "",
}
BAD_BYTES = {"bytes": b'{"lr": "\xff\xfe"}', "cut": b'{"lr": "\xc3'}
BAD_DEFINITIONS = ["{", "3", '[3, null, {"name": {}}, {"name": "loss", "step_metric": [], "summary": 3}]', "[" * 900]


def strict(answer: httpx.Response) -> Any:
    """Return an answer's JSON; fails unless every parser would read it."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    assert answer.status_code == 200, (str(answer.url), answer.text[:500])
    content = answer.content
    if answer.headers["content-type"].startswith("application/x-ndjson"):
        return [orjson.loads(line) for line in content.splitlines()]
    orjson.loads(content)
    return json.loads(content.decode("utf-8"), parse_constant=refuse)


def stored(store: Store, gathering: Store, run_id: str, document: str | bytes, definitions: str) -> None:
    """Store a run whose documents are any bytes, with a value of each kind that is stored as text."""
    run = RunPath("me", "digits", run_id)
    writer = RunWriter(gathering, run).document(tags=[run_id]).numbers("loss", [0, 1], [1.0, 0.5])
    raw = document.encode() if isinstance(document, str) else document
    columns = "entity, project, run_id, display_name, state, config, summary, metric_definitions, notes, version"
    # As SQL text: bytes that are not UTF-8 can't be a parameter.
    texts = ", ".join(f"unhex('{text.hex()}')" for text in (raw, raw, definitions.encode(), raw))
    row = f"'me', 'digits', '{run_id}', '', 'running', {texts}, 999999999"
    store.command(f"INSERT INTO {{db}}.run_documents ({columns}) VALUES ({row})")
    if isinstance(document, str):
        for key, kind in (("other", Kind.OTHER), ("image", Kind.IMAGE), ("text", Kind.STRING)):
            writer.texts(key, kind, [0, 1], ["{}", document])


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[str]:
    """A database with a good run and the bad ones, which these tests only read."""
    with stack.lend_database() as lent:
        store = stack.embedded(lent)
        with gathered(store) as gathering:
            RunWriter(gathering, RunPath("me", "digits", "good")).document(config={"lr": 0.5}, tags=["good"]).numbers(
                "loss", [0, 1], [1.0, 0.25]
            )
            for number, (run_id, document) in enumerate((BAD | BAD_BYTES).items()):
                stored(store, gathering, run_id, document, BAD_DEFINITIONS[number % len(BAD_DEFINITIONS)])
        newer = {**RunPath("me", "digits", "nan")._asdict(), "key": "new", "kind": "hologram"}
        store.insert("series", pa.Table.from_pylist([newer]))
        yield lent


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store, sql_max_seconds=10) as served:
        yield served


async def test_every_answer_is_strict_json_and_shows_every_run(service: Service) -> None:
    everyone = {"good", *BAD, *BAD_BYTES}
    get = service.client.get
    found = {run["run_id"]: run for run in strict(await get(f"{PROJECT}/runs"))["runs"]}
    assert set(found) == everyone
    assert found["good"]["config"] == {"lr": 0.5}
    assert found["nan"]["config"] == {"lr": "NaN", "x": ["-Infinity"]}
    assert found["huge"]["config"] == {"lr": "Infinity"}
    assert (found["deep"]["config"], found["deep"]["unreadable"][:2]) == ({}, ["config", "summary"])
    assert found["good"]["unreadable"] == []
    for more in (
        {"order": "-config.lr"},
        {"order": "summary.loss"},
        {"columns": "config.lr"},
        {"filter": "config.lr exists or summary.loss > 0 or state = 'running'"},
        {"nan": "literal", "columns": "config.lr"},
        {"limit": "3"},
    ):
        page = strict(await get(f"{PROJECT}/runs", params=more)) if "nan" not in more else None
        assert page is None or page["total"] == len(everyone), more
    assert strict(await get(f"{PROJECT}/runs/columns"))["total"] > 0
    assert strict(await service.client.post(f"{PROJECT}/metrics", json={"run_ids": sorted(everyone)}))
    paths = [f"me/digits/{run_id}" for run_id in sorted(everyone)]
    for by in ("config.lr", "config", "tags", "state", None):
        body = {"runs": paths, "keys": ["loss"], "group_by": by}
        answer = await service.client.post("/api/v1/groups", json=body)
        if by == "config":
            continue
        groups = strict(answer)
        assert sum(len(group["runs"]) for group in groups["groups"]) == len(everyone), by
    series = strict(await service.client.post("/api/v1/series", json={"runs": paths, "keys": ["loss", "other", "new"]}))
    assert len(series["runs"]) == len(everyone)
    for run_id in sorted(everyone):
        run = RunPath("me", "digits", run_id)
        for below in ("", "metrics", "history", "series?key=loss", "sessions"):
            strict(await get(f"/api/v1/runs/me/digits/{run_id}/{below}".rstrip("/")))
        queries: tuple[dict[str, Any], ...] = (
            {"format": "ndjson"},
            {"format": "json"},
            {"format": "json", "shape": "long"},
        )
        for query in queries:
            answer = await service.get(run, "scan", **query)
            assert answer.status_code in {200, 422}
            if answer.status_code == 200:
                strict(answer)
        for fmt in ("csv", "arrow", "parquet"):
            assert (await service.get(run, "history", format=fmt)).status_code == 200
    for sql in ("SELECT * FROM runs", "SELECT * FROM others", "SELECT * FROM media", "SELECT unhex('ff') AS x"):
        strict(await service.client.post("/api/v1/sql", json={"sql": sql}))
        answer = await service.client.post("/api/v1/sql?format=arrow", json={"sql": sql})
        pa.ipc.open_stream(answer.content).read_all().validate(full=True)


async def test_events_of_a_project_with_bad_runs_are_strict(service: Service) -> None:
    from stepwell_query.encoding import json_bytes
    from stepwell_query.runs.live_updates import read_positions

    transport = service.client._transport
    context = transport.app.state.context  # type: ignore[attr-defined]
    positions = await context.in_thread(read_positions, context.store, "me", "digits", 0)
    assert set(positions) == {"good", *BAD, *BAD_BYTES}
    orjson.loads(json_bytes([{"run_id": run, "state": state} for run, (_, _, _, state) in positions.items()]))
