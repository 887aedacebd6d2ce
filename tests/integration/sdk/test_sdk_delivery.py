"""SDK → a real broker → decoded back: everything logged arrives once, in order, with exact values."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.delivery.sync import sync
from stepwell.journal.folders import find_journals, remove_journal
from stepwell.settings import ProducerSettings
from stepwell_schemas.events.models import Event, LogBatch, RunFinished, RunStarted
from support.readers.events import read_events
from support.servers.stack import Topics

_ROWS = 5_000


@pytest.fixture
def settings(broker: str, topics: Topics, tmp_path: Path) -> dict[str, Any]:
    return {"kafka_bootstrap_servers": broker, "events_topic": topics.events, "dir": tmp_path}


def _columns(events: list[Event], key: str) -> list[float]:
    found: list[float] = []
    for event in events:
        if isinstance(event, LogBatch):
            for block in event.blocks:
                if key in block.keys:
                    values = np.frombuffer(block.packed, "<f8").reshape(len(block.keys), -1)
                    found += values[block.keys.index(key)].tolist()
    return found


def _assert_numbered_without_gaps(events: list[Event]) -> None:
    following = 0
    for event in events:
        assert event.sequence == following
        following += event.records


def test_a_run_arrives_whole_and_in_order(broker: str, topics: Topics, settings: dict[str, Any]) -> None:
    with stepwell.init(entity="e", project="p", settings=settings, config={"lr": 0.1}) as run:
        for row in range(_ROWS):
            run.log({"loss": row / 7, "row": row})
        run.log({"note": "end", "nan": math.nan})
    events = read_events(broker, topics.events)
    _assert_numbered_without_gaps(events)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert _columns(events, "loss") == [row / 7 for row in range(_ROWS)]
    receipt = run.finish()
    assert (receipt.logged, receipt.pending, receipt.delivered) == (_ROWS + 1, 0, _ROWS + 3)
    assert receipt.journal is None


def test_sync_delivers_an_offline_run_once(
    broker: str, topics: Topics, settings: dict[str, Any], tmp_path: Path
) -> None:
    run = stepwell.init(entity="e", project="p", mode="offline", settings=settings)
    run.log({"a": 1.0})
    chosen = ProducerSettings(**settings)
    (live,) = sync([tmp_path], settings=chosen)
    assert (live.sent, live.error) == (2, "")
    run.log({"a": 2.0})
    run.finish(quiet=True)
    (rest,) = sync([tmp_path], settings=chosen)
    (again,) = sync([tmp_path], settings=chosen)
    assert (rest.sent, rest.delivered, again.sent, again.delivered) == (2, 4, 0, 4)
    events = read_events(broker, topics.events)
    _assert_numbered_without_gaps(events)
    assert _columns(events, "a") == [1.0, 2.0]


def test_sync_takes_a_journal_that_vanishes_as_delivered(settings: dict[str, Any], tmp_path: Path) -> None:
    for run in ("first", "second"):
        with stepwell.init(entity="e", project="p", id=run, mode="offline", settings=settings) as offline:
            offline.log({"a": 1.0})

    def remove_second(name: str, done: int, total: int) -> None:
        del done, total
        for journal in find_journals([tmp_path]):
            if journal.name != name:
                remove_journal(journal)

    first, second = sync([tmp_path], remove_second, ProducerSettings(**settings), keep=True)
    assert (first.sent, first.error, first.removed) == (3, "", False)
    assert (second.sent, second.error, second.removed) == (0, "", True)


def test_sync_of_a_folder_that_does_not_exist_is_an_error_if_it_is_named(tmp_path: Path) -> None:
    chosen = ProducerSettings(dir=tmp_path / "none", base_url="http://127.0.0.1:9")
    assert sync(settings=chosen) == []
    (named,) = sync([tmp_path / "none"], settings=chosen)
    assert named.error


def test_an_exception_ends_a_run_as_failed(broker: str, topics: Topics, settings: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError), stepwell.init(entity="e", project="p", settings=settings):
        raise ZeroDivisionError
    last = read_events(broker, topics.events)[-1]
    assert isinstance(last, RunFinished)
    assert (last.state, last.exit_code) == ("failed", 1)


def test_an_unserved_run_trains_on_with_one_line_more(tmp_path: Path) -> None:
    script = """
import sys, stepwell
run = stepwell.init(mode="online", dir=sys.argv[1], settings={"base_url": "http://127.0.0.1:9"})
run.log({"a": 1})
receipt = run.finish(quiet=True)
assert receipt.pending == 3, receipt
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    # The page's address is printed once there is a service.
    (line,) = done.stderr.splitlines()
    assert "stepwell up" in line
    assert "stepwell sync" in line
