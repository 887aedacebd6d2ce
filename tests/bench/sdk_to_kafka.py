"""Delivery rate of one process to a real broker: points per second at 50 metrics per step, `log()` included."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import stepwell
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_schemas.settings import KafkaSettings
from support.servers.topics import create_topics

_METRICS = 50
_ROWS = 200_000
_GOAL = 1_000_000


def main() -> None:
    """Print the rate, from the first call to the last acknowledgement, and its ratio to the goal."""
    with tempfile.TemporaryDirectory() as folder:
        kafka = LocalKafka(Path(folder) / "kafka")
        kafka.start()
        try:
            os.environ["STEPWELL_KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
            asyncio.run(create_topics(KafkaSettings(), 1))
            _measure(Path(folder))
        finally:
            kafka.stop()


def _measure(folder: Path) -> None:
    row = {f"metric_{number}": number / 3 for number in range(_METRICS)}
    run = stepwell.init(project="bench", dir=folder, mode="online")
    began = time.perf_counter()
    for _ in range(_ROWS):
        run.log(row)
    logged = time.perf_counter() - began
    receipt = run.finish(quiet=True)
    taken = time.perf_counter() - began
    points = _ROWS * _METRICS
    rate = points / taken
    print(f"{points:,} points in {_ROWS:,} calls: logged in {logged:.2f} s, delivered after {taken:.2f} s")
    print(f"SDK -> Kafka: {rate:,.0f} points/s, {rate / _GOAL:.2f} x the goal; pending {receipt.pending}")


if __name__ == "__main__":
    main()
