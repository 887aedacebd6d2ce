"""The way over HTTP against the direct one: processor time of the SDK, and of one gateway, at 50 metrics a step.

Times are those of processors (user and system), so that other work on the machine changes them little; each ratio is of
one run. The latency of small requests is in seconds of the clock, next to other requests of half a million points a
second.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import psutil

from stepwell_deploy.local.kafka import LocalKafka
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.framing import MEDIA_TYPE, join_events
from stepwell_schemas.events.models import Block, LogBatch, LogEvent
from stepwell_schemas.quick_compression import compress
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.settings import DEFAULT_COMPRESSION, KafkaSettings
from support.servers.ports import claim_lasting_port
from support.servers.topics import create_topics

_METRICS: Final = 50
_ROWS: Final = 100_000
_REPEATS: Final = 3
_BATCH_ROWS: Final = 2_600
_BODIES: Final = 100
_SMALL: Final = 300
_GOAL_SHARE: Final = 0.5
_GOAL_POINTS: Final = 1_000_000
_GOAL_P99: Final = 0.05
_START_SECONDS: Final = 60.0

_LOGGER: Final = f"""
import json, time, stepwell
row = {{f"metric_{{number}}": number / 3 for number in range({_METRICS})}}
run = stepwell.init(project="bench", settings={{"system_seconds": 0, "console": "off"}})
before = time.process_time()
for _ in range({_ROWS}):
    run.log(row)
receipt = run.finish(quiet=True, timeout=300)
print(json.dumps([time.process_time() - before, receipt.pending]))
"""


def main() -> None:
    """Print the figures, and their ratios to the goals."""
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as (environment, process):
        _compare_transports(environment)
        _measure_gateway(environment["STEPWELL_BASE_URL"], process)
        _measure_latency(environment["STEPWELL_BASE_URL"])


@contextmanager
def _running(folder: Path) -> Iterator[tuple[dict[str, str], psutil.Process]]:
    """Run a broker and a gateway for the block; yields the environment of clients, and the gateway's process."""
    kafka = LocalKafka(folder / "kafka")
    kafka.start()
    port = claim_lasting_port()
    environment = {
        **os.environ,
        "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STEPWELL_BASE_URL": f"http://127.0.0.1:{port}",
        "STEPWELL_DIR": str(folder / "journals"),
    }
    command = [sys.executable, "-m", "stepwell_deploy", "gateway", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as gateway:
        try:
            asyncio.run(create_topics(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap_servers), 1))
            _wait_until_ready(environment["STEPWELL_BASE_URL"])
            yield environment, psutil.Process(gateway.pid)
        finally:
            gateway.terminate()
            gateway.wait()
            kafka.stop()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the gateway did not start")


def _compare_transports(environment: dict[str, str]) -> None:
    times: dict[str, list[float]] = {"kafka": [], "http": []}
    for _ in range(_REPEATS):
        for transport, found in times.items():
            command = [sys.executable, "-c", _LOGGER]
            given = {**environment, "STEPWELL_TRANSPORT": transport}
            out = subprocess.run(command, env=given, check=True, capture_output=True, text=True).stdout
            seconds, pending = json.loads(out)
            assert pending == 0
            found.append(seconds)
    points = _ROWS * _METRICS
    for transport, found in times.items():
        print(f"SDK by {transport}: {points / min(found):,.0f} points/s of processor time")
    share = min(times["kafka"]) / min(times["http"])
    print(f"HTTP: {share:.2f} of the direct way, {share / _GOAL_SHARE:.2f} x the goal")


def _batch(session: int) -> bytes:
    rng = np.random.default_rng(session)
    times = np.arange(_BATCH_ROWS, dtype="<i8")
    values = np.cumsum(rng.standard_normal((_METRICS, _BATCH_ROWS)), axis=1)
    keys = [f"metric_{number}" for number in range(_METRICS)]
    block = Block(kind=Kind.NUMBER, keys=keys, packed=values.astype("<f8").tobytes())
    return encode(
        LogBatch(
            entity="me", project="bench", run_id="raw", session=f"{session}", sequence=0, timestamp=0,
            rows=_BATCH_ROWS, timestamps=times.tobytes(), blocks=[block],
        )
    )  # fmt: skip


def _body(payload: bytes) -> bytes:
    return compress(DEFAULT_COMPRESSION, join_events([payload]))


def _small_body() -> bytes:
    return _body(encode(LogEvent(entity="me", project="bench", run_id="small", data={"a": 1.0})))


def _client(url: str) -> httpx.Client:
    headers = {"content-type": MEDIA_TYPE, "content-encoding": DEFAULT_COMPRESSION}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def _measure_gateway(url: str, process: psutil.Process) -> None:
    bodies = [_body(_batch(number)) for number in range(4)]
    with _client(url) as client:
        before = sum(process.cpu_times()[:2])
        for number in range(_BODIES):
            client.post("/api/v1/events", content=bodies[number % len(bodies)]).raise_for_status()
        seconds = sum(process.cpu_times()[:2]) - before
        for _ in range(_SMALL):
            client.post("/api/v1/events", content=_small_body()).raise_for_status()
        small = (sum(process.cpu_times()[:2]) - before - seconds) / _SMALL
    rate = _BODIES * _BATCH_ROWS * _METRICS / seconds
    print(f"gateway: {rate:,.0f} points/s of processor time, {rate / _GOAL_POINTS:.1f} x the goal")
    print(f"gateway: {small * 1e3:.1f} ms of processor time for a request with one value")


def _measure_latency(url: str) -> None:
    body, small = _body(_batch(0)), _small_body()
    stop = threading.Event()

    def load() -> None:
        with _client(url) as client:
            while not stop.wait(_BATCH_ROWS * _METRICS / (_GOAL_POINTS / 2)):
                client.post("/api/v1/events", content=body).raise_for_status()

    thread = threading.Thread(target=load)
    thread.start()
    found: list[float] = []
    with _client(url) as client:
        for _ in range(_SMALL):
            began = time.perf_counter()
            client.post("/api/v1/events", content=small).raise_for_status()
            found.append(time.perf_counter() - began)
    stop.set()
    thread.join()
    p99 = statistics.quantiles(found, n=100)[98]
    print(f"small request: median {statistics.median(found) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms", end="")
    print(f", {_GOAL_P99 / p99:.2f} x the goal")


if __name__ == "__main__":
    main()
