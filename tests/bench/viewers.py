"""Fifty viewers of runs while another run is ingested at half of the peak rate: `make bench ARGS=viewers`.

Broker, ingestor, engine and service are `stepwell up`'s own processes, and share the machine's cores with the training
script and the viewers. Each viewer requests a different zoom of 50,000 steps every two seconds, as the page of a live
run may, so that no answer is shared. Then some viewers request without a pause, for the most views a second.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final, Literal

import httpx
from rich.console import Console

import stepwell
from bench.figure import Figure, make_table
from stepwell.api.paths import run_url
from stepwell_deploy.local.background import running_stack
from stepwell_schemas.rules.identifiers import RunPath

_METRICS: Final = [f"train/metric_{number:02d}" for number in range(50)]
_PEAK_ROWS: Final = 100_000
_VIEWERS: Final = 50
_EVERY_SECONDS: Final = 2.0
_SECONDS: Final = 20.0
_ALONE: Final = 40
_EAGER: Final = 8
"""Viewers that request the next view as soon as they have one; more of them only wait for each other."""

_SEEN: Final = RunPath("bench", "viewers", "seen")
_CALLS: Final = 200

Mode = Literal["online", "offline"]


class Training:
    """A run that logs rows of 50 metrics, `rows_a_second` of them or as many as it can."""

    def __init__(self, path: RunPath, folder: Path, url: str, mode: Mode = "online") -> None:
        settings = {"base_url": url, "system_seconds": 0}
        self._run = stepwell.init(*path[:2], id=path.run_id, dir=folder, mode=mode, settings=settings)
        self._mode = mode

    def log(self, rows: int, rows_a_second: float | None = None) -> float:
        """Log rows and finish; return points a second, from the first call until all are stored."""
        began = time.perf_counter()
        for row in range(rows):
            if rows_a_second and row % _CALLS == 0:
                time.sleep(max(began + row / rows_a_second - time.perf_counter(), 0))
            self._run.log({key: row + place / 50 for place, key in enumerate(_METRICS)})
        receipt = self._run.finish(quiet=True)
        if self._mode == "online" and (receipt is None or receipt.pending):
            raise SystemExit(f"not all rows were stored: {receipt}")
        return rows * len(_METRICS) / (time.perf_counter() - began)


async def _view(client: httpx.AsyncClient) -> float:
    low = random.randrange(_PEAK_ROWS // 2)
    asked: dict[str, str | int] = {"key": random.choice(_METRICS), "from": low, "to": low + _PEAK_ROWS // 2}
    began = time.perf_counter()
    answer = await client.get(f"/api/v1/{run_url(_SEEN, 'series')}", params=asked)
    answer.raise_for_status()
    return time.perf_counter() - began


async def _alone(url: str) -> list[float]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return [await _view(client) for _ in range(_ALONE)]


async def _together(url: str, viewers: int, every_seconds: float) -> list[float]:
    """Return the seconds of each view, in ascending order."""
    times: list[float] = []
    # Clients of their own, like browsers: connections of a common pool are closed while others take them.
    context = ssl.create_default_context()
    clients = [httpx.AsyncClient(base_url=url, timeout=60, verify=context) for _ in range(viewers)]
    end = time.monotonic() + _SECONDS

    async def viewer(client: httpx.AsyncClient) -> None:
        async with client:
            await asyncio.sleep(random.uniform(0, every_seconds))
            while time.monotonic() < end:
                taken = await _view(client)
                times.append(taken)
                await asyncio.sleep(max(every_seconds - taken, 0))

    await asyncio.gather(*map(viewer, clients))
    return sorted(times)


def _while_logging(
    path: RunPath, folder: Path, url: str, rows_a_second: float, viewers: int, every_seconds: float
) -> tuple[list[float], float]:
    """Return the seconds of each view during the logging of a run, and the points logged a second."""
    rates: list[float] = []
    training = Training(path, folder, url)
    rows = int(rows_a_second * _SECONDS)
    thread = threading.Thread(target=lambda: rates.append(training.log(rows, rows_a_second)))
    thread.start()
    times = asyncio.run(_together(url, viewers, every_seconds))
    thread.join()
    return times, rates[0]


def figures() -> Iterator[Figure]:
    """Measure views with and without ingestion, and ingestion with and without viewers."""
    random.seed(0)
    with tempfile.TemporaryDirectory() as name, running_stack(Path(name)) as url:
        folder = Path(name)
        calls = Training(_path("offline"), folder / "offline", url, mode="offline").log(_PEAK_ROWS)
        peak = Training(_SEEN, folder, url).log(_PEAK_ROWS)
        half = peak / 2 / len(_METRICS)
        rows = int(half * _SECONDS)
        unseen = Training(_path("unseen"), folder, url).log(rows, half)
        p50 = median(asyncio.run(_alone(url)))
        times, watched = _while_logging(_path("watched"), folder, url, half, _VIEWERS, _EVERY_SECONDS)
        most, _ = _while_logging(_path("eager"), folder, url, half, _EAGER, 0)
    p99 = times[int(len(times) * 0.99)]
    yield Figure(
        "ingestion at its peak in stepwell up",
        "M points/s",
        peak / 1e6,
        "the same calls into the journal alone",
        calls / 1e6,
        "clock",
        rate=True,
    )
    viewed = f"{_VIEWERS} viewers during ingestion"
    alone = "one viewer alone, p50"
    yield Figure(f"{viewed}, p50", "ms", median(times) * 1_000, alone, p50 * 1_000, "clock")
    yield Figure(f"{viewed}, p99", "ms", p99 * 1_000, alone, p50 * 1_000, "clock")
    yield Figure(viewed, "views/s", len(times) / _SECONDS, "requested", _VIEWERS / _EVERY_SECONDS, "clock", rate=True)
    name = f"the most views during ingestion, {_EAGER} viewers without pauses"
    yield Figure(name, "views/s", len(most) / _SECONDS, "one viewer alone", 1 / p50, "clock", rate=True)
    yield Figure(
        f"ingestion at half its peak with {_VIEWERS} viewers",
        "M points/s",
        watched / 1e6,
        "without viewers",
        unseen / 1e6,
        "clock",
        rate=True,
    )


def _path(run_id: str) -> RunPath:
    return RunPath("bench", "viewers", run_id)


def main() -> None:
    """Print the figures."""
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
