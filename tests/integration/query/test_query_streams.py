"""Streams of a run besides its own rows: separate by default, complete on request, never in the run's summary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import CONSOLE, DEFAULT, SYSTEM
from support.factories.points import RunWriter
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "digits", "one")


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store) as service:
        yield service


@pytest.fixture
def run(store: Store) -> RunWriter:
    """A run of 10 steps, with 100 system samples and 3 lines of output."""
    run = RunWriter(store, RUN).document().numbers("loss", range(10), np.arange(10.0))
    run.stream(SYSTEM).numbers("system/cpu", range(100), np.arange(100.0)).numbers(
        "system/load", range(100), [1.0] * 100
    )
    return run.stream(CONSOLE).strings("console/stdout", [0, 2], ["a", "c"]).strings("console/stderr", [1], ["b"])


async def _scanned(service: Service, stream: str = "default") -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (await service.get(RUN, "scan", stream=stream)).content.splitlines()]


def _values(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key not in {"_timestamp", "_runtime"}} for row in rows]


async def test_a_run_s_own_rows_are_apart(service: Service, run: RunWriter) -> None:
    own = [{"_step": step, "loss": float(step)} for step in range(10)]
    assert _values((await service.json(RUN, "history"))["rows"]) == own
    assert _values(await _scanned(service)) == own
    info = await service.json(RUN)
    assert (info["summary"], info["last_step"], info["points"]) == ({"loss": 9.0}, 9, 10)


async def test_a_stream_is_asked_for_by_name(service: Service, run: RunWriter) -> None:
    system = await service.json(RUN, "history", stream="system", samples=10)
    assert (len(system["rows"]), system["rows"][-1]["system/cpu"]) == (10, 99.0)
    assert set(system["rows"][0]) == {"_step", "_timestamp", "_runtime", "system/cpu", "system/load"}
    lines = [
        {"_step": 0, "console/stdout": "a"},
        {"_step": 1, "console/stderr": "b"},
        {"_step": 2, "console/stdout": "c"},
    ]
    assert _values(await _scanned(service, stream="console")) == lines
    assert _values((await service.json(RUN, "history", stream="console"))["rows"]) == lines
    assert (await service.get(RUN, "scan", stream="none")).status_code == 422


async def test_a_key_is_found_whatever_its_stream(service: Service, run: RunWriter) -> None:
    rows = (await service.json(RUN, "history", key=["loss", "system/cpu"]))["rows"]
    assert [(row["loss"], row["system/cpu"]) for row in rows] == [(float(step), float(step)) for step in range(10)]
    assert (await service.json(RUN, "series", key="system/cpu"))["series"][0]["count"] == 100


async def test_a_key_that_the_run_logs_too_is_its_own(service: Service, run: RunWriter) -> None:
    run.stream(DEFAULT).numbers("system/load", [200], [2.0])
    rows = (await service.json(RUN, "history"))["rows"]
    assert rows[-1]["system/load"] == 2.0
    assert (await service.json(RUN))["summary"] == {"loss": 9.0, "system/load": 2.0}
    assert "system/load" not in (await service.json(RUN, "history", stream="system"))["rows"][0]


async def test_metrics_name_the_stream(service: Service, run: RunWriter, store: Store) -> None:
    wanted = {
        "loss": "", "system/cpu": "system", "system/load": "system",
        "console/stdout": "console", "console/stderr": "console",
    }  # fmt: skip
    assert {row["key"]: row["stream"] for row in (await service.json(RUN, "metrics"))["metrics"]} == wanted
    found = store.query("SELECT key, stream FROM {db}.metrics").to_pylist()
    assert {row["key"]: row["stream"] for row in found} == wanted
