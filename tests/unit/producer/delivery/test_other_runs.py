"""Journals of other runs: counted at the start of a run, and delivered part by part when it is idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepwell.delivery.journal_folders import JournalFolders
from stepwell.delivery.order import find_succession
from stepwell.delivery.other_runs import OtherRuns, find_waiting
from stepwell.delivery.transport import EventTooLargeError
from stepwell.journal import locks
from stepwell.journal.format import JournalInfo
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.journals import leave_journal, open_journal
from support.fakes.producers import AcceptingProducer

pytestmark = pytest.mark.anyio

OWN = RunPath("e", "p", "own")
SERVER = "http://server"


def leave(folder: Path, run_id: str, session: str, rows: int = 3, **fields: Any) -> Path:
    """Leave the journal of a session that begins now."""
    run = RunPath("e", "p", run_id)
    generation = find_succession(JournalFolders(folder, SERVER).find_run(run), "").generation
    info = JournalInfo(*run, session, "", generation=generation, destination=SERVER)._replace(**fields)
    return leave_journal(folder, info, rows)


def others(folder: Path) -> OtherRuns:
    """Return the delivery of other runs' journals, as a session begins it."""
    return OtherRuns(find_waiting(JournalFolders(folder, SERVER).find_others(OWN)).entries, SERVER, quiet=False)


async def deliver(folder: Path, producer: Any) -> int:
    """Deliver all parts; return their number."""
    delivery, parts = others(folder), 0
    while await delivery.send_part(producer):
        parts += 1
    return parts


async def test_what_waits_is_counted_without_live_own_and_delivered_journals(tmp_path: Path) -> None:
    leave(tmp_path, "a", "a0")
    leave(tmp_path, "a", "a1")
    leave(tmp_path, "b", "b0", rows=20_000)
    leave(tmp_path, "own", "own0")
    live = open_journal(tmp_path, JournalInfo("e", "p", "c", "c0", ""), 3)
    waiting = find_waiting(JournalFolders(tmp_path, SERVER).find_others(OWN))
    assert (waiting.journals, waiting.runs) == (3, 2)
    assert 20_000 * 37 < waiting.bytes < 3 * MIB
    await deliver(tmp_path, AcceptingProducer())
    waiting = find_waiting(JournalFolders(tmp_path, SERVER).find_others(OWN))
    assert (waiting.journals, waiting.runs, waiting.bytes) == (0, 0, 0)
    live.close()
    live.release()


async def test_a_call_sends_one_part_so_that_the_run_s_own_records_go_between(tmp_path: Path) -> None:
    leave(tmp_path, "a", "a0", rows=100_000)
    producer: Any = AcceptingProducer()
    delivery = others(tmp_path)
    assert await delivery.send_part(producer)
    assert 0 < len(producer.sent) < 50_000
    await delivery.pause()
    sent = len(producer.sent)
    while await delivery.send_part(producer):
        continue
    assert [number for _, _, number in producer.sent] == list(range(100_000))
    assert (delivery.delivered, sent < 100_000) == (100_000, True)


async def test_offline_runs_and_those_of_another_service_are_not_delivered(tmp_path: Path) -> None:
    leave(tmp_path, "a", "a0", offline=True)
    leave(tmp_path, "b", "b0", destination="http://another")
    leave(tmp_path, "c", "c0", destination="")
    producer: Any = AcceptingProducer()
    assert await deliver(tmp_path, producer) == 0
    assert find_waiting(JournalFolders(tmp_path, SERVER).find_others(OWN)).journals == 3


async def test_what_follows_a_journal_that_another_process_delivers_is_left_to_it(tmp_path: Path) -> None:
    first = leave(tmp_path, "a", "a0")
    leave(tmp_path, "a", "a1")
    leave(tmp_path, "b", "b0")
    claim = locks.claim(first, shared=False)
    producer: Any = AcceptingProducer()
    await deliver(tmp_path, producer)
    assert producer.sessions() == ["b0"]
    locks.release(claim)


async def test_a_journal_that_is_refused_stops_its_writer_alone(tmp_path: Path) -> None:
    for session in ("a0", "a1"):
        leave(tmp_path, "a", session)
    leave(tmp_path, "b", "b0")
    producer: Any = AcceptingProducer()
    producer.errors["a0"] = EventTooLargeError()
    await deliver(tmp_path, producer)
    assert producer.sessions() == ["b0"]


async def test_a_delivered_journal_is_removed_by_the_next_session(tmp_path: Path) -> None:
    path = leave(tmp_path, "a", "a0")
    producer: Any = AcceptingProducer()
    await deliver(tmp_path, producer)
    assert path.exists(), "the service may not have stored it yet"
    await deliver(tmp_path, producer)
    assert not path.exists()
    assert len(producer.sent) == 3
