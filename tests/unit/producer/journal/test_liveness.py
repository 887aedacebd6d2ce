"""Owners of journals: a lock decides within a host, and across hosts only a heartbeat that has stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.journal import liveness, locks, owner
from stepwell.journal.format import Heartbeat, JournalInfo
from stepwell.journal.heartbeat import HEART
from stepwell.journal.journal import Journal
from stepwell.journal.liveness import Surroundings, Watch, is_abandoned
from stepwell.journal.owner import find_file_system
from stepwell.journal.stored import read_journal_header
from stepwell_schemas.limits import HEARTBEAT_OLD_SECONDS, MIB

INFO = JournalInfo("e", "p", "r", "session", "")
HERE = Surroundings("here", "boot", running=False, local=True, unchanged_seconds=0.0)
OWN = INFO._replace(host="here", boot="boot", pid=7, pid_started=9)
OTHER = OWN._replace(host="there", boot="another")
ALIVE = Heartbeat(3, 100)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An open journal of this process."""
    journal = Journal(tmp_path / "j.journal", INFO, 64 * MIB, "drop")
    yield journal
    journal.release()


def test_within_a_boot_the_lock_and_the_process_decide() -> None:
    assert is_abandoned(OWN, ALIVE, HERE)
    assert not is_abandoned(OWN, ALIVE, HERE._replace(running=True)), "a file system that lost its locks"
    assert is_abandoned(OWN, ALIVE._replace(released=True), HERE._replace(running=True))


def test_journals_of_earlier_releases_have_the_lock_alone() -> None:
    assert is_abandoned(INFO, Heartbeat(), HERE._replace(local=False))


def test_after_a_reboot_the_processes_of_a_local_disk_have_ended() -> None:
    assert is_abandoned(OWN, ALIVE, HERE._replace(boot="later"))
    assert not is_abandoned(OWN, ALIVE, HERE._replace(boot="later", local=False))


@given(st.floats(0, 10_000), st.integers(0, 5))
def test_on_a_shared_disk_only_a_stopped_heartbeat_counts(seconds: float, beats: int) -> None:
    shared = HERE._replace(local=False, unchanged_seconds=seconds)
    expected = beats > 0 and seconds >= HEARTBEAT_OLD_SECONDS
    assert is_abandoned(OTHER, Heartbeat(beats), shared) is expected
    assert is_abandoned(OTHER._replace(boot="boot"), Heartbeat(beats), shared) is expected, "a container of this host"


def test_a_heartbeat_is_watched_by_its_changes() -> None:
    watch, path = Watch(), Path("/folder/j.journal")
    assert watch.observe(path, Heartbeat(1), 1_000.0) == 0.0
    assert watch.observe(path, Heartbeat(1), 1_290.0) == 290.0
    assert watch.observe(path, Heartbeat(2), 1_300.0) == 0.0
    assert watch.observe(path, Heartbeat(2), 1_600.0) == 300.0
    watch.forget(path)
    assert watch.observe(path, Heartbeat(2), 1_700.0) == 0.0


def test_a_journal_says_its_host_boot_and_process(journal: Journal) -> None:
    header = read_journal_header(journal.path)
    assert (header.info.boot, header.info.pid) == (owner.read_boot_id(), os.getpid())
    assert owner.is_running(header.info)
    assert not owner.is_running(header.info._replace(pid_started=1))
    journal.beat()
    later = read_journal_header(journal.path).heartbeat
    assert later.beats > header.heartbeat.beats > 0
    assert not later.released


def test_a_living_journal_of_another_host_is_not_claimed_whatever_flock_says(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host on a shared file system, whose kernel does not see the owner's lock."""
    monkeypatch.setattr(owner, "read_boot_id", lambda: "another")
    monkeypatch.setattr(owner, "is_local", lambda _: False)
    monkeypatch.setattr(liveness, "HEARTBEAT_OLD_SECONDS", 0.2)
    assert journal._storage is not None
    locks.release(journal._storage._head._lock)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        journal.beat()
        assert locks.claim(journal.path, shared=True) is None
    HEART.remove(journal)
    assert locks.claim(journal.path, shared=True) is None
    time.sleep(0.3)  # without a heartbeat
    assert locks.is_orphaned(journal.path)


def test_a_released_journal_is_claimed_at_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not locks.is_orphaned(journal.path)
    journal.release()
    assert locks.is_orphaned(journal.path)
    monkeypatch.setattr(owner, "read_boot_id", lambda: "another")
    monkeypatch.setattr(owner, "is_local", lambda _: False)
    assert locks.is_orphaned(journal.path), "it says itself that it is released"


def test_a_killed_process_leaves_an_orphan(tmp_path: Path) -> None:
    script = """
import os, sys, stepwell
run = stepwell.init(project="p", mode="offline", dir=sys.argv[1])
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    (journal,) = tmp_path.rglob("*.journal")
    assert locks.is_orphaned(journal)


def test_the_file_system_of_a_path_is_that_of_the_deepest_mount() -> None:
    mounts = [
        "20 1 254:0 / / rw - ext4 /dev/vda rw",
        "21 20 0:50 / /data rw shared:1 - nfs4 server:/export rw",
        "22 21 0:51 / /data/my\\040disk rw - tmpfs tmpfs rw",
        "23 20 0:52 / /data rw - lustre mgs:/fs rw",
    ]
    assert find_file_system(mounts, Path("/home/me")) == "ext4"
    assert find_file_system(mounts, Path("/data/runs")) == "lustre"
    assert find_file_system(mounts, Path("/data/my disk/x")) == "tmpfs"
    assert find_file_system([], Path("/")) == ""
