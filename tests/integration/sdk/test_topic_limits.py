"""Topics with a lower size limit than Stepwell's: everything that can fit is delivered, and the rest is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.delivery.sync import sync
from stepwell.settings import ProducerSettings
from stepwell_schemas.events.models import MediaChunk
from support.readers.events import read_column, read_events
from support.servers.sdk import eventually
from support.servers.stack import Topics, limit_topic

_KAFKA_DEFAULT = 1_048_588
_ROWS = 4_000
_RANDOM = np.random.default_rng(0).random((_ROWS, 40))
_WIDE = {f"wide/{key:05}": key / 7 for key in range(30_000)}


@pytest.fixture
def settings(broker: str, topics: Topics, tmp_path: Path) -> dict[str, Any]:
    return {
        "kafka_bootstrap_servers": broker,
        "events_topic": topics.events,
        "dir": tmp_path,
        "base_url": "http://127.0.0.1:9",
        "compression": "none",
    }


def _log(run: stepwell.Run, rows: int = _ROWS) -> None:
    for row in range(rows):
        run.log({"row": row, **{f"key{key}": value for key, value in enumerate(_RANDOM[row].tolist())}})


def test_batches_are_cut_to_the_default_limit_of_kafka(broker: str, topics: Topics, settings: dict[str, Any]) -> None:
    asyncio.run(limit_topic(broker, topics.events, _KAFKA_DEFAULT))
    run = stepwell.init(entity="e", project="p", settings=settings)
    _log(run)
    run.log({"audio": stepwell.Audio(np.random.default_rng(0).uniform(-1, 1, 1_500_000), sample_rate=16_000)})
    receipt = run.finish(timeout=60)
    assert (receipt.pending, receipt.set_aside, receipt.error) == (0, 0, "")
    events = read_events(broker, topics.events)
    assert read_column(events, "row") == [float(row) for row in range(_ROWS)]
    assert len([event for event in events if isinstance(event, MediaChunk)]) > 1


def test_a_row_that_fits_no_event_is_kept_and_what_follows_is_delivered(
    broker: str, topics: Topics, settings: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(limit_topic(broker, topics.events, 200_000))
    run = stepwell.init(entity="e", project="p", settings=settings)
    _log(run, 1_000)
    run.log({"row": 1_000.0, **_WIDE})
    for row in range(1_001, 2_000):
        run.log({"row": row})
    journal = run._journal.path
    receipt = run.finish(timeout=60)
    assert (receipt.pending, receipt.set_aside, receipt.blocked) == (0, 1, "")
    (kept,) = receipt.set_aside_files
    assert kept == journal.with_name(f"{journal.name}.rejected")
    assert len([line for line in capfd.readouterr().err.splitlines() if str(kept) in line]) == 2, "a notice, a receipt"
    (line,) = kept.read_text().splitlines()
    assert json.loads(line)["values"] == {"row": 1_000.0, **_WIDE}
    assert not journal.exists()
    rows = [float(row) for row in range(2_000) if row != 1_000]
    assert read_column(read_events(broker, topics.events), "row") == rows


def test_a_limit_that_is_lowered_during_a_run_is_learned(broker: str, topics: Topics, settings: dict[str, Any]) -> None:
    run = stepwell.init(entity="e", project="p", settings=settings)
    run.log({"row": -1})
    eventually(lambda: run._journal.acknowledged.sequence, 2)
    asyncio.run(limit_topic(broker, topics.events, 100_000))
    _log(run)
    receipt = run.finish(timeout=60)
    assert (receipt.pending, receipt.set_aside, receipt.error) == (0, 0, "")
    assert read_column(read_events(broker, topics.events), "row") == [float(row) for row in range(-1, _ROWS)]


def test_sync_sets_a_row_aside_too(broker: str, topics: Topics, settings: dict[str, Any]) -> None:
    asyncio.run(limit_topic(broker, topics.events, 200_000))
    run = stepwell.init(entity="e", project="p", mode="offline", settings=settings)
    run.log({"row": 0.0, **_WIDE})
    run.log({"row": 1})
    run.finish(quiet=True)
    (result,) = sync([settings["dir"]], settings=ProducerSettings(**settings))
    assert result.sent == 4
    assert ".rejected" in result.error
    assert read_column(read_events(broker, topics.events), "row") == [1.0]
