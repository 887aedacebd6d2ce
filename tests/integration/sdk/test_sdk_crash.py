"""SIGKILL of the training process: each row for which `log()` returned arrives once, at its step."""

from __future__ import annotations

import signal

import pytest

from support.servers.sdk import Served, eventually

_ROWS = 3_000

_KILLED = """
import os, signal, sys, stepwell
first, rows, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
run = stepwell.init(id="run", mode=mode, resume="allow" if first else None)
for row in range(first, first + rows):
    run.log({"row": row})
if len(sys.argv) > 4:
    import time
    while run._journal.acknowledged.sequence < int(sys.argv[4]):
        time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""

_NEXT = """
import sys, stepwell
run = stepwell.init(id="run", resume=sys.argv[1] or None)
print(run.step)
for row in range(int(sys.argv[2]), int(sys.argv[3])):
    run.log({"row": row})
run.finish()
"""


def _rows(count: int) -> list[tuple[int, float]]:
    return [(row, float(row)) for row in range(count)]


@pytest.mark.parametrize("delivered", ["0", "1", "2000"])
def test_the_next_init_delivers_what_a_killed_one_left(sdk: Served, delivered: str) -> None:
    # The first one dies before its sender's thread has imported its modules.
    served = sdk.importing if delivered == "0" else sdk
    served.run(_KILLED, "0", str(_ROWS), "online", delivered, code=-signal.SIGKILL)
    assert len(sdk.journals()) == 1
    out, _ = sdk.run(_NEXT, "allow", str(_ROWS), str(_ROWS + 10))
    assert int(out.split()[0]) == _ROWS
    eventually(lambda: sdk.numbers("row"), _rows(_ROWS + 10))
    assert sdk.count("step_conflicts") == 0
    assert sdk.state() == "finished"
    assert sdk.journals() == []


def test_a_chain_of_killed_and_offline_sessions_is_delivered_in_its_order(sdk: Served) -> None:
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    for session in range(4):
        mode = "online" if session % 2 else "offline"
        arguments = (str(session * 100), "100", mode)
        sdk.run(_KILLED, *arguments, code=-signal.SIGKILL, STEPWELL_BASE_URL="http://127.0.0.1:9", **away)
    assert len(sdk.journals()) == 4
    out, _ = sdk.run(_NEXT, "must", "400", "500")
    assert int(out.split()[0]) == 400
    eventually(lambda: sdk.numbers("row"), _rows(500))
    assert sdk.count("step_conflicts") == 0


def test_without_resume_the_rows_of_a_killed_session_come_first_all_the_same(sdk: Served) -> None:
    sdk.run(_KILLED, "0", "100", "online", code=-signal.SIGKILL)
    sdk.run(_NEXT, "", "100", "200")
    eventually(lambda: sdk.numbers("row"), _rows(200))


def test_a_living_session_is_left_alone(sdk: Served) -> None:
    script = _KILLED.replace("os.kill(", 'print("logged", flush=True); sys.stdin.read(); os.kill(')
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}
    with sdk.start(script, "0", "100", "offline", **away) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "logged\n"
        sdk.run(_NEXT, "", "0", "0")
        assert len(sdk.journals()) == 1
        living.kill()
        living.communicate()
    sdk.run(_NEXT, "", "0", "0")
    eventually(lambda: sdk.numbers("row"), _rows(100))
