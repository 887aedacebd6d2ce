"""Full disks: rows are dropped and counted, or `log()` waits; the training continues."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.journal.reader import Reader
from stepwell.journal.stored import StoredJournal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import KIB, MIB
from support.mounts import btrfs, tmpfs
from support.readers.journals import count_rows

INFO = JournalInfo("e", "p", "r", "session", "")
WIDE = {f"metric/{number}": float(number) for number in range(50)}


def acknowledge_all(journal: Journal) -> None:
    """Acknowledge everything, as the sender does."""
    journal.acknowledge(Position(journal.end, journal.sequence))


def readable_rows(journal: Journal) -> int:
    """Return the number of rows that a checking reader finds, after which there is no damage."""
    reader = Reader(check=True)
    reader.skip_to(journal, Position(journal.segments()[0].info.base, journal.segments()[0].info.sequence))
    rows = count_rows(reader.read_all(journal))
    assert reader.damage(journal) is None
    return rows


def test_a_healthy_run_on_a_small_disk_drops_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path, 8 * MIB) as disk:
        journal = Journal(disk / "j.journal", INFO, 1024 * MIB, "drop")
        rows = RowWriter(journal, 0, "r")
        for row in range(60_000):
            rows.log(WIDE, None, None)
            if row % 2_000 == 0:
                acknowledge_all(journal)
        assert (rows.rows, journal.dropped, journal.end > 20 * MIB) == (60_000, 0, True)
        journal.release()


def test_a_full_disk_drops_and_counts_and_takes_rows_again_when_there_is_space(tmp_path: Path) -> None:
    with tmpfs(tmp_path, 4 * MIB) as disk:
        journal = Journal(disk / "j.journal", INFO, 1024 * MIB, "drop")
        rows = RowWriter(journal, 0, "r")
        for _ in range(20_000):
            rows.log(WIDE, None, None)
        assert journal.dropped > 0
        assert os.strerror(errno.ENOSPC) in journal.problem
        assert readable_rows(journal) == rows.rows == 20_000 - journal.dropped
        acknowledge_all(journal)
        journal._try_again_at = 0.0
        dropped = journal.dropped
        for _ in range(1_000):
            rows.log(WIDE, None, None)
        assert journal.dropped == dropped
        assert readable_rows(journal) >= 1_000
        journal.release()


def test_a_single_full_segment_is_replaced_when_it_is_delivered(tmp_path: Path) -> None:
    with tmpfs(tmp_path, 128 * KIB) as disk:
        journal = Journal(disk / "j.journal", INFO, 1024 * MIB, "drop")
        rows = RowWriter(journal, 0, "r")
        for _ in range(1_000):
            rows.log(WIDE, None, None)
        assert (journal.dropped > 0, len(journal.segments())) == (True, 1)
        acknowledge_all(journal)
        journal._try_again_at = 0.0
        dropped = journal.dropped
        rows.log(WIDE, None, None)
        assert journal.dropped == dropped
        assert readable_rows(journal) == 1
        journal.release()


def test_with_the_policy_block_log_waits_for_the_sender_on_a_full_disk(tmp_path: Path) -> None:
    with tmpfs(tmp_path, 4 * MIB) as disk:
        journal = Journal(disk / "j.journal", INFO, 1024 * MIB, "block")
        journal.sender_alive = True
        rows = RowWriter(journal, 0, "r")
        stop = threading.Event()

        def deliver() -> None:
            while not stop.wait(0.05):
                segments = journal.segments()
                if journal._failure is not None and segments:
                    last = segments[-1].info
                    journal.acknowledge(Position(last.base, last.sequence))

        sender = threading.Thread(target=deliver)
        sender.start()
        for _ in range(20_000):
            rows.log(WIDE, None, None)
        stop.set()
        sender.join()
        assert (rows.rows, journal.dropped) == (20_000, 0)
        journal.release()


def test_a_file_size_limit_begins_a_new_segment(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
journal = Journal(Path(sys.argv[1]), JournalInfo("e", "p", "r", "s", ""), 1 << 30, "drop")
rows = RowWriter(journal, 0, "r")
for row in range(10_000):
    rows.log({"a": float(row)}, None, None)
assert (rows.rows, journal.dropped) == (10_000, 0), journal.problem
assert len(journal.segments()) > 5
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "j.journal")], check=True, timeout=60)
    with StoredJournal(tmp_path / "j.journal") as stored:
        reader = Reader(check=True)
        assert (count_rows(reader.read_all(stored)), reader.damage(stored)) == (10_000, None)


FULL = """
import os, sys, stepwell
folder = sys.argv[1]
run = stepwell.init(project="p", mode="offline", dir=folder, settings={"console": "off", "system_seconds": 0})
run.log({"row": 0.5})
with open(f"{folder}/other", "wb", buffering=0) as other:
    try:
        while True:
            other.write(os.urandom(1 << 16))
    except OSError:
        pass
for row in range(20_000):
    run.log({"row": float(row), "more": 1.0})
print(run.finish(quiet=True).dropped)
"""


@pytest.mark.parametrize("kind", ["btrfs", "tmpfs"])
def test_a_full_file_system_never_kills_the_training(tmp_path: Path, kind: str) -> None:
    with btrfs(tmp_path) if kind == "btrfs" else tmpfs(tmp_path, 8 * MIB) as disk:
        command = [sys.executable, "-c", FULL, str(disk)]
        trained = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert trained.returncode == 0, trained.stderr
        assert int(trained.stdout) > 0


@pytest.mark.parametrize("limit", [0, 4 * KIB])
def test_without_any_room_an_online_run_keeps_its_journal_in_memory(tmp_path: Path, limit: int) -> None:
    script = """
import resource, sys, stepwell
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
away = {"kafka_bootstrap_servers": "127.0.0.1:9", "base_url": "http://127.0.0.1:9", "console": "off"}
run = stepwell.init(project="p", dir=sys.argv[1], settings={**away, "system_seconds": 0})
for row in range(10_000):
    run.log({"row": row})
assert run.finish(timeout=0.1, quiet=True).logged == 10_000
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(limit)]
    trained = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert trained.returncode == 0, trained.stderr
    assert len([line for line in trained.stderr.splitlines() if "kept in memory" in line]) == 1


def test_a_journal_in_memory_gives_delivered_segments_back() -> None:
    journal = MemoryJournal(Path("/nonexistent/m.journal"), INFO, 64 * MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    for _ in range(20_000):
        rows.log(WIDE, None, None)
    assert readable_rows(journal) == 20_000
    acknowledge_all(journal)
    assert len(journal.segments()) == 1
    journal.release()
