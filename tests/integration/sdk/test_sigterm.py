"""SIGTERM: what was logged is delivered within a time limit, and the process ends by the signal."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from support.servers.sdk import Served, eventually

_ROWS = 3_000
_LOG = """
import ctypes, os, signal, sys, threading, time, stepwell
run = stepwell.init(id="run")
for row in range(int(sys.argv[1])):
    run.log({"row": row})
"""
_READY = """
print("ready", flush=True)
"""
_SLEEP = f"{_LOG}{_READY}time.sleep(60)"
_WAIT_IN_C = f"""{_LOG}{_READY}
mutex = ctypes.create_string_buffer(64)
ctypes.CDLL(None).pthread_mutex_lock(mutex)
ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
_LATER_HANDLER = f"{_LOG}signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{_READY}time.sleep(60)"
_EARLIER_HANDLER = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{_LOG}{_READY}sys.stdin.read()"
_FORKED = f"""{_LOG}
child = os.fork()
if not child:
    time.sleep(20)
    os._exit(1)
os.kill(child, signal.SIGTERM)
_, status = os.waitpid(child, 0)
assert status == signal.SIGTERM, status
time.sleep(2)
print(run.finish(quiet=True).pending)
"""
_THREAD = f"""
def train():
{"".join(f"    {line}" for line in _LOG.splitlines(keepends=True))}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
import signal, threading
thread = threading.Thread(target=train)
thread.start()
thread.join()
"""
_AWAY = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}


def _terminate(process: subprocess.Popen[str]) -> float:
    """Send SIGTERM once the script is ready; return the seconds until the process has ended."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=30)
    return time.monotonic() - began


@pytest.mark.parametrize("script", [_SLEEP, _WAIT_IN_C], ids=["sleep", "wait in C"])
def test_a_terminated_run_delivers_its_tail_and_ends_by_the_signal(sdk: Served, script: str) -> None:
    # A sender that looks for rows every ten seconds has not seen the last ones when the signal arrives.
    late = {"STEPWELL_POLL_SECONDS": "10", "STEPWELL_SIGTERM_DRAIN_SECONDS": "20"}
    served = sdk.importing if script is _SLEEP else sdk
    with served.start(script, str(_ROWS), **late) as process:
        seconds = _terminate(process)
    assert process.returncode == -signal.SIGTERM
    assert seconds < 18
    eventually(lambda: sdk.numbers("row"), [(row, float(row)) for row in range(_ROWS)])
    eventually(sdk.state, "killed")
    codes = sdk.store.query("SELECT exit_code FROM {db}.runs").column("exit_code").to_pylist()
    assert codes == [128 + signal.SIGTERM]


def test_a_drain_ends_at_its_time_limit(sdk: Served) -> None:
    with sdk.start(_SLEEP, "10", STEPWELL_SIGTERM_DRAIN_SECONDS="1", STEPWELL_RETRY_SECONDS="60", **_AWAY) as process:
        assert _terminate(process) < 8
    assert process.returncode == -signal.SIGTERM
    (journal,) = sdk.journals()
    assert journal.suffix == ".journal"


def test_without_time_to_drain_there_is_no_handler(sdk: Served) -> None:
    script = f"{_LOG}\nassert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL"
    sdk.run(script, "1", STEPWELL_SIGTERM_DRAIN_SECONDS="0")


@pytest.mark.parametrize(("script", "code"), [(_LATER_HANDLER, 7), (_EARLIER_HANDLER, 0)], ids=["later", "earlier"])
def test_a_handler_of_the_script_is_respected(sdk: Served, script: str, code: int) -> None:
    with sdk.start(script, str(_ROWS)) as process:
        _terminate(process)
    assert process.returncode == code
    eventually(sdk.state, "failed" if code else "finished")
    assert len(sdk.numbers("row")) == _ROWS


def test_a_forked_child_dies_as_without_a_run_and_its_parent_goes_on(sdk: Served) -> None:
    out, _ = sdk.run(_FORKED, str(_ROWS))
    assert out.splitlines()[-1] == "0"
    assert sdk.state() == "finished"


def test_a_run_in_another_thread_leaves_the_signal_alone(sdk: Served) -> None:
    sdk.run(_THREAD, "1")
