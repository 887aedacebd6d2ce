"""Ends of training processes: the state and exit code of the run, and the traceback in its console."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from stepwell_schemas.migrations.run_states_view import set_crashed_after
from support.servers.sdk import Served, eventually

_INIT = """
import asyncio, multiprocessing, os, signal, sys, threading, stepwell
run = stepwell.init(id=sys.argv[1])
run.log({"row": 1})
"""
_RAISE = "raise ValueError('no such layer')\n"
_OTHERS = """
exit_of_others = sys.exit
def others_exit(code=None):
    print("the exit of others", file=sys.stderr)
    exit_of_others(code)
sys.exit = others_exit
sys.excepthook = lambda kind, error, traceback: print("the hook of others", kind.__name__, file=sys.stderr)
"""
_THREAD = """
def work():
    raise ValueError("in a thread")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
_WORKER = """
def work():
    run = stepwell.init(id=sys.argv[1])
    run.log({"row": 1})
    raise ValueError("in a worker")
import multiprocessing, sys, stepwell
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
assert worker.exitcode == 1
"""
_ASYNC = """
async def train():
    raise ValueError("in a coroutine")
asyncio.run(train())
"""

# A process in the background of a shell ignores it, and so do its children.
_TAKES_SIGINT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


class _Case(NamedTuple):
    """A script, the exit code of its process, the state and exit code of its run, and a part of its console."""

    script: str
    code: int
    state: str
    exit_code: int
    console: str = ""


_CASES = {
    "exception": _Case(f"{_INIT}{_RAISE}", 1, "failed", 1, "ValueError: no such layer"),
    "exit": _Case(f"{_INIT}sys.exit(3)", 3, "failed", 3),
    "text": _Case(f"{_INIT}sys.exit('no such file')", 1, "failed", 1, "no such file"),
    "quit": _Case(f"{_INIT}exit(4)", 4, "failed", 4),
    "success": _Case(f"{_INIT}sys.exit(0)", 0, "finished", 0),
    "caught": _Case(f"{_INIT}try:\n    sys.exit(3)\nexcept SystemExit:\n    pass", 0, "finished", 0),
    "finally": _Case(f"{_INIT}try:\n    sys.exit(3)\nfinally:\n    run.log({{'row': 2}})", 3, "failed", 3),
    "interrupt": _Case(f"{_TAKES_SIGINT}{_INIT}signal.raise_signal(signal.SIGINT)", 1, "killed", 130, "Interrupt"),
    "thread": _Case(f"{_INIT}{_THREAD}", 0, "finished", 0, "in a thread"),
    "coroutine": _Case(f"{_INIT}{_ASYNC}", 1, "failed", 1, "in a coroutine"),
    "worker": _Case(_WORKER, 0, "failed", 1, "in a worker"),
    "with": _Case(f"{_INIT}with run:\n    {_RAISE}", 1, "failed", 1, "no such layer"),
    "with-exit": _Case(f"{_INIT}with run:\n    sys.exit(5)", 5, "failed", 5),
    "explicit": _Case(f"{_INIT}run.finish(exit_code=7)\n{_RAISE}", 1, "failed", 7),
    "hook": _Case(f"import sys\n{_OTHERS}{_INIT}{_RAISE}", 1, "failed", 1, "the hook of others ValueError"),
    "exit-hook": _Case(f"import sys\n{_OTHERS}{_INIT}sys.exit(6)", 6, "failed", 6, "the exit of others"),
}


def _console(sdk: Served, run: str) -> str:
    rows = sdk.store.query(
        "SELECT value FROM {db}.strings WHERE run_id = {run:String} AND key = 'console/stderr' ORDER BY step",
        {"run": run},
    )
    return "\n".join(rows.column("value").to_pylist())


def _prints(sdk: Served, run: str, text: str) -> tuple[str, bool]:
    return run, text in _console(sdk, run)


def _end(sdk: Served, run: str) -> tuple[str, str, int | None]:
    rows = sdk.store.query(
        "SELECT state, exit_code FROM {db}.runs WHERE run_id = {run:String}", {"run": run}
    ).to_pylist()
    return (run, rows[0]["state"], rows[0]["exit_code"]) if rows else (run, "", None)


def test_a_run_ends_as_its_process_does(sdk: Served) -> None:
    started = {name: sdk.start(case.script, name, STEPWELL_CONSOLE="auto") for name, case in _CASES.items()}
    errors = {name: process.communicate(timeout=60)[1] for name, process in started.items()}
    for name, case in _CASES.items():
        # Of a forked script, Python ends the process after Ctrl-C with another code than of one that it starts.
        assert started[name].returncode == case.code or case.state == "killed", errors[name]
        eventually(partial(_end, sdk, name), (name, case.state, case.exit_code))
        eventually(partial(_prints, sdk, name, case.console), (name, True))
        assert _console(sdk, name).count("Traceback") <= 1, name


_IDLE = """
import sys, stepwell
import stepwell.delivery.sign_of_life as sign_of_life
sign_of_life.SIGN_OF_LIFE_SECONDS = 0.1
run = stepwell.init(id="run", settings={"system_seconds": 0})
run.log({"row": 1})
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_silent_run_lives_and_a_killed_one_is_crashed_until_it_comes_back(sdk: Served) -> None:
    def heartbeat() -> int:
        rows = sdk.store.query("SELECT toUnixTimestamp64Milli(heartbeat_at) AS at FROM {db}.runs").to_pylist()
        return int(rows[0]["at"]) if rows else 0

    with sdk.start(_IDLE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        eventually(lambda: heartbeat() > 0, wanted=True)
        first = heartbeat()
        eventually(lambda: heartbeat() > first + 200, wanted=True)
        assert sdk.state() == "running"
        process.kill()
    assert sdk.numbers("row") == [(0, 1.0)]
    set_crashed_after(sdk.store, 0.5)
    eventually(sdk.state, "crashed")
    with sdk.start(_IDLE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        eventually(sdk.state, "running")
        process.communicate("")
    eventually(sdk.state, "finished")
