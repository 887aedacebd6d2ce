"""A process ends within its time limit, whatever hangs in it; each case is a separate process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from stepwell_deploy.local.exit_deadline import (
    BROKER_SECONDS,
    CLOSE_SECONDS,
    EXIT_SECONDS,
    SERVICE_END_SECONDS,
    SERVICE_SECONDS,
)
from stepwell_ingestor import service
from stepwell_ingestor.kafka import client

_BEGIN = (
    "import asyncio, ctypes, threading, time; from stepwell_deploy.local.exit_deadline import ExitDeadline; "
    "deadline = ExitDeadline(0.2); deadline.begin(); deadline.begin()"
)
_HANGING = {
    "main thread": "time.sleep(60)",
    "thread that is no daemon": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "thread of the loop's": "asyncio.run(asyncio.wait_for(asyncio.to_thread(time.sleep, 60), 0.01))",
}


def run(code: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, done.stdout, time.monotonic() - began


@pytest.mark.parametrize("hanging", _HANGING)
def test_what_hangs_is_cut_short_with_a_line(hanging: str) -> None:
    code, out, seconds = run(f"{_BEGIN}\n{_HANGING[hanging]}")
    assert (code, seconds < 30) == (1, True)
    assert "shutdown_incomplete" in out
    assert "deadline" in out


def test_a_call_that_never_gives_the_interpreter_back_is_ended_by_the_kernel() -> None:
    code, _, seconds = run(f"{_BEGIN}\nctypes.PyDLL(None).sleep(60)")
    assert (code, seconds < 30) == (-signal.SIGALRM, True)


def test_a_drained_process_ends_with_0() -> None:
    assert run(f"{_BEGIN}\ndeadline.call('store', lambda: None, 5.0)\ndeadline.exit_if_incomplete()")[:2] == (0, "")


def test_a_part_that_hangs_is_named_and_not_waited_for() -> None:
    code, out, seconds = run(
        f"{_BEGIN.replace('0.2', '60')}\ndeadline.call('store', lambda: time.sleep(60), 0.1)\n"
        "deadline.exit_if_incomplete()"
    )
    assert (code, seconds < 30) == (1, True)
    assert "'store'" in out


def test_the_steps_fit_into_the_whole() -> None:
    ingestor = service._DRAIN_SECONDS + 2 * client.LEAVE_SECONDS
    parts = max(SERVICE_SECONDS + SERVICE_END_SECONDS, ingestor) + BROKER_SECONDS + CLOSE_SECONDS
    assert parts < EXIT_SECONDS < 20
