"""Recovery of journals from real files with real locks: order, claims of other processes, live sessions, removal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepwell.delivery.journal_folders import JournalFolders, count_records, journal_name
from stepwell.delivery.order import find_succession
from stepwell.delivery.orphans import Orphans, find_orphans, last_logged_step
from stepwell.delivery.transport import TransportError
from stepwell.journal import locks
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import KIB, MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.journals import leave_journal, open_journal
from support.fakes.producers import AcceptingProducer
from support.readers.journals import flip, segment_files

pytestmark = pytest.mark.anyio

RUN = RunPath("e", "p", "r")
SERVER = "http://server"


@pytest.fixture(autouse=True)
def _temporary_folders_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def folders(folder: Path) -> JournalFolders:
    """Return the journals' folders of a test."""
    return JournalFolders(folder / "journals", SERVER)


def info(folder: Path, session: str, writer: str, started: int = 0) -> JournalInfo:
    """Return the identity of a session that begins now."""
    generation = find_succession(folders(folder).find_run(RUN), writer).generation
    return JournalInfo(*RUN, session, writer, started, generation=generation, destination=SERVER)


def leave(folder: Path, writers: Sequence[str]) -> list[Path]:
    """Leave the journals s0, s1, … of sessions that ran one after the other, with clocks that go backward."""
    (folder / "journals").mkdir(exist_ok=True)
    return [
        leave_journal(folder / "journals", info(folder, f"s{number}", writer, started=-number))
        for number, writer in enumerate(writers)
    ]


def orphans(folder: Path, writer: str, wait_seconds: float = 60.0, *, only_own: bool = False) -> Orphans:
    """Return what a process with some writer recovers."""
    return Orphans(folders(folder), RUN, writer, wait_seconds, only_own=only_own)


async def recover(
    folder: Path, writer: str, producer: Any, wait_seconds: float = 60.0, *, only_own: bool = False
) -> Orphans:
    """Recover as at the start of a session."""
    recovery = orphans(folder, writer, wait_seconds, only_own=only_own)
    await recovery.deliver(producer, wait=True)
    return recovery


async def until(condition: Any) -> None:
    """Let other tasks run until a condition holds."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def test_sessions_are_sent_in_their_order_whatever_their_clocks_say(tmp_path: Path) -> None:
    leave(tmp_path, ["", "", "rank0", "", "//console"])
    producer: Any = AcceptingProducer()
    recovery = await recover(tmp_path, "", producer)
    assert producer.sessions() == ["s0", "s1", "s2", "s3", "s4"]
    assert (recovery.delivered, recovery.error) == (15, "")


async def test_what_follows_a_journal_that_another_process_delivers_waits_for_it(tmp_path: Path) -> None:
    first, _, third = leave(tmp_path, ["a", "a", "b"])
    claim = locks.claim(first, shared=False)
    producer: Any = AcceptingProducer()
    await recover(tmp_path, "b", producer)
    assert producer.sessions() == ["s2"], "the other writer's journals don't wait"
    locks.release(claim)
    await recover(tmp_path, "b", producer)
    assert producer.sessions() == ["s2", "s0", "s1"]
    assert third.exists()


@pytest.mark.parametrize("writer", ["a", "a//console"])
async def test_a_session_waits_for_older_journals_of_its_writer(tmp_path: Path, writer: str) -> None:
    first, *_ = leave(tmp_path, [writer, writer, "b"])
    claim = locks.claim(first, shared=False)
    producer: Any = AcceptingProducer()
    recovery = orphans(tmp_path, "a")
    waiting = asyncio.create_task(recovery.deliver(producer, wait=True))
    await until(lambda: recovery.error)
    assert producer.sessions() == ["s2"], "other writers go on meanwhile"
    assert str(first) in recovery.error
    assert not waiting.done()
    locks.release(claim)
    await waiting
    assert producer.sessions() == ["s2", "s0", "s1"]
    assert recovery.error == ""


async def test_a_process_without_progress_is_not_waited_for_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = leave(tmp_path, ["a", "a"])
    claim = locks.claim(first, shared=False)
    producer: Any = AcceptingProducer()
    await recover(tmp_path, "a", producer, wait_seconds=0.0)
    assert producer.sessions() == ["s0", "s1"], "it is sent twice, and counts once"
    assert len([line for line in capsys.readouterr().err.splitlines() if str(first) in line]) == 1
    locks.release(claim)


async def test_live_sessions_of_the_same_writer_are_no_reason_to_wait(tmp_path: Path) -> None:
    leave(tmp_path, [""])
    live = open_journal(tmp_path / "journals", info(tmp_path, "live", ""), 3)
    leave_journal(tmp_path / "journals", info(tmp_path, "s2", ""))
    producer: Any = AcceptingProducer()
    recovery = orphans(tmp_path, "")
    await recovery.deliver(producer, wait=True)
    assert producer.sessions() == ["s0", "s2"]
    live.close()
    live.release()
    await recovery.deliver(producer)
    assert producer.sessions() == ["s0", "s2", "live"], "it is found when its process has ended"


async def test_a_session_that_ends_during_a_recovery_comes_before_those_that_began_after_it(tmp_path: Path) -> None:
    live = open_journal(tmp_path / "journals", info(tmp_path, "live", ""), 3)
    leave_journal(tmp_path / "journals", info(tmp_path, "s1", ""))

    class Meanwhile(AcceptingProducer):
        async def send(self, value: bytes, key: bytes) -> Any:
            if not self.sent:
                live.close()
                live.release()
                leave_journal(tmp_path / "journals", info(tmp_path, "s2", ""))
            return await super().send(value, key)

    producer: Any = Meanwhile()
    await recover(tmp_path, "", producer)
    assert producer.sessions() == ["s1", "live", "s2"]


async def test_a_forked_child_recovers_its_own_writer_alone(tmp_path: Path) -> None:
    leave(tmp_path, ["", "fork-7", "rank0"])
    producer: Any = AcceptingProducer()
    await recover(tmp_path, "fork-7", producer, only_own=True)
    assert producer.sessions() == ["s1"]


async def test_processes_that_recover_concurrently_share_the_work_in_order(tmp_path: Path) -> None:
    writers = ["a", "b", "a", "b", "", "a", "", "b"]
    leave(tmp_path, writers)
    producer: Any = AcceptingProducer()
    await asyncio.gather(*(recover(tmp_path, writer, producer) for writer in ("a", "b", "", "")))
    for writer in set(writers):
        own = [f"s{number}" for number, name in enumerate(writers) if name == writer]
        numbers = [(session, number) for _, session, number in producer.sent if session in own]
        assert numbers == [(session, number) for session in own for number in range(3)], "in order, and once"


def test_main_threads_import_neither_kafkas_client_nor_numpy(tmp_path: Path) -> None:
    """A fork while the sender's thread imports one would leave the child waiting for the import for ever."""
    script = f"""
import sys
from pathlib import Path
from stepwell.delivery.orphans import Orphans
from stepwell.session.open import open_folders
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath
folders = open_folders(ProducerSettings(dir=Path({str(tmp_path)!r})))
folders.find_run(RunPath("e", "p", "r"))
Orphans(folders, RunPath("e", "p", "r"), "fork-7", 60.0, only_own=True).remove_delivered()
print(sorted({{"aiokafka", "httpx", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_failure_of_the_broker_releases_the_claim_and_a_later_call_goes_on(tmp_path: Path) -> None:
    first, _ = leave(tmp_path, ["", ""])
    producer: Any = AcceptingProducer()
    producer.errors["s0"] = TransportError()
    recovery = orphans(tmp_path, "")
    with pytest.raises(TransportError):
        await recovery.deliver(producer, wait=True)
    assert producer.sent == []
    claim = locks.claim(first, shared=False)
    assert claim is not None
    locks.release(claim)
    producer.errors.clear()
    await recovery.deliver(producer, wait=True)
    assert producer.sessions() == ["s0", "s1"]


async def test_a_delivered_journal_stays_for_a_while_so_that_others_resume_after_it(tmp_path: Path) -> None:
    (path,) = leave(tmp_path, [""])
    recovery = await recover(tmp_path, "", AcceptingProducer())
    assert last_logged_step(find_orphans(folders(tmp_path), RUN)) == 2
    producer: Any = AcceptingProducer()
    await recover(tmp_path, "other", producer)
    assert producer.sent == [], "it is not sent again"
    recovery.remove_delivered(age=60.0)
    assert path.exists()
    recovery.remove_delivered()
    assert not path.exists()


async def test_a_kept_journal_and_what_is_damaged_stay(tmp_path: Path) -> None:
    (tmp_path / "journals").mkdir()
    kept = leave_journal(tmp_path / "journals", info(tmp_path, "kept", "")._replace(keep=True))
    damaged = leave_journal(tmp_path / "journals", info(tmp_path, "damaged", ""))
    flip(segment_files(damaged)[0], 8_300)
    after = leave_journal(tmp_path / "journals", info(tmp_path, "after", ""))
    producer: Any = AcceptingProducer()
    recovery = await recover(tmp_path, "", producer)
    recovery.remove_delivered()
    assert producer.sessions()[0] == "kept"
    assert producer.sessions()[-1] == "after", "damage costs nothing behind it"
    assert str(damaged) in recovery.error
    assert [path.exists() for path in (kept, damaged, after)] == [True, False, False]
    assert damaged.with_name(f"{damaged.name}.damaged").exists()


@pytest.mark.parametrize("begun", [False, True])
def test_steps_and_records_are_known_from_the_last_segment(tmp_path: Path, *, begun: bool) -> None:
    session = info(tmp_path, "s0", "")._replace(lineage="s0")
    journal = Journal(tmp_path / "journals" / journal_name("r", "s0"), session, MIB, "drop", (16 * KIB, 16 * KIB))
    writer = RowWriter(journal, 0, "r")
    for row in range(1_000):
        writer.log({"row": float(row)}, None, None)
    if begun:
        writer.log({"row": 1000.0}, None, False)
    delivered = journal.segments()[1].info
    journal.acknowledge(Position(delivered.base, delivered.sequence))
    journal.release()
    files = segment_files(journal.path)
    assert len(files) > 2
    flip(files[0], 9_000)
    assert last_logged_step(find_orphans(folders(tmp_path), RUN)) == 999 + begun
    assert count_records(journal.path) == 1_000 + begun
    for file in files:
        file.write_bytes(b"")
    assert count_records(journal.path) == 1_000 + begun, "its head says so"


async def test_temporary_folders_count_for_the_same_service_alone(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp" / "stepwell-x"
    temporary.mkdir()
    leave_journal(temporary, info(tmp_path, "s0", ""))
    leave_journal(temporary, info(tmp_path, "s1", "")._replace(destination="http://other"))
    producer: Any = AcceptingProducer()
    await recover(tmp_path, "", producer)
    assert producer.sessions() == ["s0"]
