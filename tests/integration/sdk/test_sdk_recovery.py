"""Recovery of earlier sessions: concurrent processes, clocks that go back, other runs, and journals left behind."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stepwell
from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.format import Position
from stepwell.journal.stored import read_journal_header
from support.servers.sdk import Served, eventually

_SESSION_STEPS = 100_000

_RANK = """
import json, sys, stepwell
writer, first, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = stepwell.init(id="run", writer=writer)
for step in range(first, first + rows):
    run.log({f"row/{writer}": step}, step=step)
receipt = run.finish()
print(json.dumps([receipt.conflicts, receipt.dead_letters, receipt.pending, receipt.error]))
"""

_LEFT = """
import os, signal, sys, time, stepwell
run = stepwell.init(id=sys.argv[1], mode=sys.argv[3])
for row in range(int(sys.argv[2])):
    run.log({"row": row})
if sys.argv[4] == "exit":
    os._exit(0)
os.kill(os.getpid(), int(sys.argv[4]))
time.sleep(60)
"""

_IDLE = """
import sys, stepwell
run = stepwell.init(id=sys.argv[1])
run.log({"own": 1})
print("logged", flush=True)
sys.stdin.read()
run.finish()
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock that new sessions of this process read: each reading is an hour before the last one."""
    times = iter(range(1_800_000_000, 0, -3_600))
    fake = SimpleNamespace(time_ns=lambda: next(times) * 10**9)
    monkeypatch.setattr("stepwell.session.open.time", fake)
    return fake


def _leave_offline(sdk: Served, writer: str, sessions: range, rows: int) -> list[Path]:
    """Leave the journals of sessions of a writer, each with steps after those of the one before."""
    known = set(sdk.journals())
    for session in sessions:
        run = stepwell.init(id="run", writer=writer, mode="offline", settings={**sdk.settings, "quiet": True})
        for step in range(session * _SESSION_STEPS, session * _SESSION_STEPS + rows):
            run.log({f"row/{writer}": step}, step=step)
        run.finish()
    return [path for path in sdk.journals() if path not in known]


def _stored(sdk: Served) -> dict[str, tuple[int, int]]:
    """Return for each key the number of its values, and of those that are not at their step."""
    rows = sdk.store.query(
        "SELECT key, count() AS n, countIf(value != step) AS wrong FROM {db}.numbers WHERE run_id = 'run' GROUP BY key"
    ).to_pylist()
    return {row["key"]: (row["n"], row["wrong"]) for row in rows}


def _rows_after(sdk: Served, step: int) -> int:
    """Return the number of values of the run from a step on."""
    rows = sdk.store.query(
        "SELECT count() AS n FROM {db}.numbers WHERE run_id = 'run' AND step >= {step:Int64}", {"step": step}
    )
    return int(rows.column("n")[0].as_py())


def _sync(sdk: Served, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sdk.command("sync", "--json", *arguments, **environment)[0])
    return found


def _reached(journals: list[Path]) -> list[Position | None]:
    """Return how far each journal is delivered; None for those that are removed."""
    return [_acknowledged(path) for path in journals]


def _acknowledged(journal: Path) -> Position | None:
    try:
        return read_journal_header(journal).acknowledged
    except (OSError, JournalError):
        return None


def _clean(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out) == [0, 0, 0, ""], err


def test_a_writer_s_later_journal_waits_for_one_that_another_process_delivers(sdk: Served) -> None:
    first, *_ = _leave_offline(sdk, "w0", range(1), 500)
    _leave_offline(sdk, "w0", range(1, 3), 500)
    claim = locks.claim(first, shared=False)
    _clean(sdk.start(_RANK, "w1", "0", "100"))
    assert sdk.numbers("row/w0") == [], "nothing of the writer overtakes the journal that is claimed"
    waiting = sdk.start(_RANK, "w0", str(3 * _SESSION_STEPS), "100")
    eventually(lambda: len(sdk.journals()), 4)
    locks.release(claim)
    _clean(waiting)
    eventually(lambda: _stored(sdk), {"row/w0": (1_600, 0), "row/w1": (100, 0)})
    assert sdk.count("step_conflicts") == 0


@pytest.mark.parametrize(("ranks", "seed"), [(2, 1), (4, 2)])
def test_ranks_that_recover_at_once_and_are_killed_meanwhile_keep_every_row(
    sdk: Served, clock: SimpleNamespace, ranks: int, seed: int
) -> None:
    del clock
    delays = random.Random(seed)
    writers = [f"w{rank}" for rank in range(ranks)]
    left = [path for writer in writers for path in _leave_offline(sdk, writer, range(3), 5_000)]
    arguments = (str(3 * _SESSION_STEPS), "100")
    killed = []
    for writer in writers:
        killed.append(sdk.start(_RANK, writer, *arguments))
        time.sleep(delays.random() / 10)
    for process in killed:
        before = _reached(left)
        deadline = time.monotonic() + 60
        while process.poll() is None and _reached(left) == before:
            assert time.monotonic() < deadline
        process.kill()
        process.communicate()
    restarted = []
    for writer in delays.sample(writers, ranks):
        restarted.append(sdk.start(_RANK, writer, str(4 * _SESSION_STEPS), "100"))
        time.sleep(delays.random() / 10)
    for process in restarted:
        _clean(process)
    eventually(lambda: _rows_after(sdk, 4 * _SESSION_STEPS), 100 * ranks)
    assert {wrong for _, wrong in _stored(sdk).values()} == {0}
    for writer in writers:
        # A rank that was killed may have logged its rows, or a part of them.
        assert 15_100 <= _stored(sdk)[f"row/{writer}"][0] <= 15_200
    assert sdk.count("step_conflicts") == 0
    assert sdk.journals() == []


def test_offline_sessions_are_in_order_although_the_clock_went_back(sdk: Served, clock: SimpleNamespace) -> None:
    del clock
    for _ in range(3):
        run = stepwell.init(id="run", mode="offline", settings={**sdk.settings, "quiet": True})
        for _ in range(100):
            run.log({"row": 1.0})
        run.finish()
    results = _sync(sdk)
    assert [result["sent"] for result in results] == [102, 102, 102]
    eventually(lambda: len(sdk.numbers("row")), 300)
    assert sdk.count("step_conflicts") == 0


@pytest.mark.parametrize("delivers", [True, False])
def test_another_run_reports_what_waits_and_delivers_it_while_it_is_idle(sdk: Served, delivers: bool) -> None:
    sdk.run(_LEFT, "left", "2000", "online", str(int(signal.SIGKILL)), code=-signal.SIGKILL)
    sdk.run(_LEFT, "offline", "20", "offline", "exit")
    with sdk.start(_IDLE, "next", STEPWELL_DELIVER_OTHER_RUNS=str(delivers)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        eventually(lambda: sdk.numbers("own", "next"), [(0, 1.0)])
        if delivers:
            eventually(lambda: len(sdk.numbers("row", "left")), 2_000)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (line,) = [line for line in err.splitlines() if "stepwell sync" in line]
    assert line.split()[1] == "2", "journals"
    assert len(sdk.journals()) == 2, "the offline run waits for sync; what was delivered stays for a while"
    removed = {result["run"]: result["removed"] for result in _sync(sdk)}
    assert removed == {"me/p/left": True, "me/p/offline": True}
    assert sdk.journals() == []
    eventually(lambda: len(sdk.numbers("row", "offline")), 20)
    assert len(sdk.numbers("row", "left")) == 2_000


@pytest.mark.parametrize("end", ["exit", str(int(signal.SIGTERM))])
def test_sync_delivers_what_an_abrupt_end_left(sdk: Served, end: str) -> None:
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}
    with sdk.start(_LEFT, "run", "500", "online", end, **away) as process:
        process.communicate(timeout=60)
    (result,) = _sync(sdk)
    # A signal that Python handles adds the record of the run's end.
    records = 501 if end == "exit" else 502
    assert (result["sent"], result["left_bytes"], result["removed"]) == (records, 0, True)
    eventually(lambda: sdk.numbers("row"), [(row, float(row)) for row in range(500)])
    assert sdk.journals() == []


def test_sync_finds_journals_in_temporary_folders(sdk: Served) -> None:
    sdk.run(_LEFT, "run", "50", "offline", "exit", STEPWELL_DIR="/proc/stepwell")
    another = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    with sdk.start(_LEFT, "another", "50", "offline", "exit", STEPWELL_DIR="/proc/stepwell", **another) as process:
        process.communicate(timeout=60)
    found = {result["run"]: result for result in _sync(sdk)}
    assert (found["me/p/run"]["sent"], found["me/p/run"]["removed"]) == (51, True)
    assert found["me/p/another"]["sent"] == 0, "it was not written for this service"
    assert found["me/p/another"]["left_bytes"] > 0
    assert len(list(Path(sdk.environment["TMPDIR"]).glob("stepwell-*/*.journal"))) == 1
    eventually(lambda: len(sdk.numbers("row")), 50)
