"""`stepwell sync` during a run, after a kill of either, and repeatedly: every record counts once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from stepwell.journal.stored import read_journal_header
from support.servers.sdk import Served, eventually

_AWAY = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}

_LOGGER = """
import os, signal, sys, stepwell
run = stepwell.init(id="run", mode=sys.argv[1])
first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
for row in range(first, first + int(sys.argv[2])):
    run.log({"row": row, **{f"key{number}": row for number in range(20)}})
print("logged", flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def _sync(sdk: Served, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sdk.command("sync", "--json", *arguments)[0])
    return found


def _are_stored(sdk: Served, rows: int) -> None:
    eventually(lambda: sdk.numbers("row"), [(row, float(row)) for row in range(rows)])


def test_a_run_may_go_on_logging_and_sending(sdk: Served) -> None:
    script = _LOGGER.replace(
        "sys.stdin.read()",
        """
for row in range(2000, 4000):
    run.log({"row": row})
    if row == 3000:
        print("more", flush=True)
run.finish()
sys.exit()
""",
    )
    with sdk.start(script, "online", "2000") as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "logged\n"
        for _ in range(3):
            assert all(not result["error"] for result in _sync(sdk))
        living.communicate(timeout=60)
    assert living.returncode == 0
    _are_stored(sdk, 4000)
    assert sdk.count("step_conflicts") == 0


def _kill_when_under_way(sdk: Served, journal: Path) -> int:
    """Kill a sync when it has advanced further than all before it; return the number of records delivered."""
    before = read_journal_header(journal).acknowledged
    with sdk.start_command("sync", "--json") as process:
        deadline = time.monotonic() + 60
        while read_journal_header(journal).acknowledged == before:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
    return read_journal_header(journal).acknowledged.sequence


def test_a_killed_sync_goes_on_where_it_was(sdk: Served) -> None:
    rows = 20_000
    script = _LOGGER.replace("sys.stdin.read()", "").replace("range(20)", "range(150)")
    sdk.run(script, "offline", str(rows), code=-signal.SIGKILL)
    (journal,) = sdk.journals()
    reached = _kill_when_under_way(sdk, journal)
    assert 0 < reached < rows + 1
    (last,) = _sync(sdk)
    assert (last["delivered"], last["error"]) == (rows + 1, "")
    assert last["sent"] == rows + 1 - reached
    assert last["left_bytes"] == 0
    # It is removed by the call that finds it stored.
    eventually(lambda: [result["sent"] for result in _sync(sdk)], [])
    _are_stored(sdk, rows)


def test_a_copy_of_a_journal_counts_once(sdk: Served, tmp_path: Path) -> None:
    sdk.run(_LOGGER.replace("sys.stdin.read()", ""), "offline", "500", code=-signal.SIGKILL)
    (journal,) = sdk.journals()
    (tmp_path / "copies").mkdir()
    copy = str(shutil.copytree(journal, tmp_path / "copies" / "copy.journal"))
    assert [result["sent"] for result in _sync(sdk, str(journal))] == [501]
    assert [result["sent"] for result in _sync(sdk, copy)] == [501]
    _are_stored(sdk, 500)
    assert sdk.count("step_conflicts") == 0


def test_sessions_go_in_their_order_whatever_the_files_times_say(sdk: Served) -> None:
    script = _LOGGER.replace("sys.stdin.read()", "")
    for first in (0, 100, 200):
        sdk.run(script, "offline", "100", str(first), code=-signal.SIGKILL, **_AWAY)
    for age, journal in enumerate(sdk.journals()):
        os.utime(journal, (1_000_000 - age, 1_000_000 - age))
    assert [result["sent"] for result in _sync(sdk)] == [101, 101, 101]
    _are_stored(sdk, 300)


def test_its_bar_and_its_account(sdk: Served) -> None:
    sdk.run(_LOGGER.replace("sys.stdin.read()", ""), "offline", "500", code=-signal.SIGKILL)
    out, _ = sdk.command("sync", COLUMNS="200")
    assert "me/p/run: 501 records sent, 501 delivered in total" in out
    assert "100%" in out
