"""Steps that the session decides, for journals that arrive in another order or from several processes concurrently."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepwell.journal.stored import read_journal_header
from support.servers.sdk import Served, eventually

_AWAY = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}
_RANKS = 8

_SESSION = """
import os, signal, sys, time, stepwell
resume, mode, first, rows, back = sys.argv[1] or None, sys.argv[2], *map(int, sys.argv[3:6])
clock_ns = time.time_ns
time.time_ns = lambda: clock_ns() - back * 10**9
run = stepwell.init(id="run", mode=mode, resume=resume)
for row in range(first, first + rows):
    run.log({"row": row})
if len(sys.argv) > 6:
    print("logged", flush=True)
    sys.stdin.read()
    run.finish()
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed(sdk: Served, resume: str, first: int, rows: int, back: int = 0, mode: str = "offline") -> Path:
    """Log rows in a session that is killed; return its journal."""
    known = set(sdk.journals())
    arguments = (resume, mode, str(first), str(rows), str(back))
    sdk.run(_SESSION, *arguments, code=-signal.SIGKILL, **_AWAY)
    (journal,) = (path for path in sdk.journals() if path not in known and path.suffix == ".journal")
    return journal


def _sync(sdk: Served, *journals: Path) -> None:
    found: list[dict[str, Any]] = json.loads(sdk.command("sync", "--json", *map(str, journals))[0])
    assert all(not result["error"] for result in found), found


def _rows(first: int, end: int) -> list[tuple[int, float]]:
    return [(row, float(row)) for row in range(first, end)]


@pytest.mark.parametrize("resume", ["", "allow"])
def test_sessions_that_arrive_in_the_wrong_order_have_their_steps(sdk: Served, resume: str) -> None:
    journals = [_killed(sdk, resume, 100 * session, 100) for session in range(3)]
    for session in (2, 0, 1):
        _sync(sdk, journals[session])
        eventually(lambda: sdk.count("numbers") > 0, True)
    eventually(lambda: sdk.numbers("row"), _rows(0, 300))
    assert sdk.count("step_conflicts") == 0


def test_a_clock_that_is_set_back_changes_no_step(sdk: Served) -> None:
    for session, back in enumerate((0, 3600, 7200)):
        _killed(sdk, "allow", 100 * session, 100, back)
    _sync(sdk)
    eventually(lambda: sdk.numbers("row"), _rows(0, 300))
    assert sdk.count("step_conflicts") == 0


def test_two_processes_recover_the_same_journals_at_once(sdk: Served) -> None:
    for session in range(6):
        _killed(sdk, "allow", 100 * session, 100)
    script = _SESSION.replace('{"row": row}', '{f"row{os.getpid()}": row}')
    recovering = [sdk.start(script, "allow", "online", "600", "50", "0", "waits") for _ in range(2)]
    for process in recovering:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
    for process in recovering:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    eventually(lambda: sdk.numbers("row"), _rows(0, 600))
    for process in recovering:
        eventually(partial(sdk.numbers, f"row{process.pid}"), _rows(600, 650))
    assert sdk.count("step_conflicts") == 0


_RANK = """
import sys, stepwell
rank, rows = map(int, sys.argv[1:])
run = stepwell.init(id="run")
for row in range(rows):
    run.log({f"loss{rank}": row, "shared": row}, step=10 * row)
receipt = run.finish()
assert (receipt.conflicts, receipt.pending, receipt.error) == (0, 0, ""), receipt
"""


def test_eight_processes_without_names_store_their_values_at_the_steps_they_request(sdk: Served) -> None:
    ranks = [sdk.start(_RANK, str(rank), "200") for rank in range(_RANKS)]
    for process in ranks:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
    wanted = [(10 * row, float(row)) for row in range(200)]
    for key in (*(f"loss{rank}" for rank in range(_RANKS)), "shared"):
        eventually(partial(sdk.numbers, key), wanted)
    assert sdk.count("step_conflicts") == 0


def test_a_run_logged_again_under_its_id_replaces_no_row_without_a_step(sdk: Served) -> None:
    script = _SESSION.replace("sys.stdin.read()", "")
    for first in (0, 100):
        sdk.run(script, "", "online", str(first), "100", "0", "finishes")
        eventually(lambda: sdk.numbers("row"), _rows(0, first + 100))
    assert sdk.journals() == []


def test_an_offline_run_resumed_in_the_dark_replaces_no_row(sdk: Served) -> None:
    """Sessions on a machine that knows nothing of the run's first ten rows."""
    sdk.run(_SESSION.replace("sys.stdin.read()", ""), "", "online", "0", "10", "0", "finishes")
    eventually(lambda: sdk.numbers("row"), _rows(0, 10))
    journals = [_killed(sdk, "allow", first, 10) for first in (10, 20)]
    assert [read_journal_header(journal).info.first_step for journal in journals] == [0, 10]
    _sync(sdk, *journals)
    eventually(lambda: sdk.numbers("row"), _rows(0, 30))


_CONFLICT = """
import stepwell
run = stepwell.init(id="run")
run.log({"loss": 1.0}, step=100)
run.log({"loss": 2.0}, step=50)
run.log({"loss": 3.0}, commit=False)
run.log({"acc": 4.0})
receipt = run.finish()
assert (receipt.conflicts, receipt.error, run.step) == (1, "", 103), receipt
"""


def test_a_conflict_begins_a_row_of_its_own(sdk: Served) -> None:
    sdk.run(_CONFLICT)
    eventually(lambda: sdk.numbers("loss"), [(100, 1.0), (101, 2.0), (102, 3.0)])
    eventually(lambda: sdk.numbers("acc"), [(102, 4.0)])
    found = sdk.store.query("SELECT asked_step, step FROM {db}.step_conflicts WHERE run_id = 'run'").to_pylist()
    assert found == [{"asked_step": 50, "step": 101}]
