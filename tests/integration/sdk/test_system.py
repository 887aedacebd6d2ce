"""System metrics and console output of real processes: stored separately from the run's rows."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from functools import partial

import pytest

import stepwell
from stepwell_deploy.cli.commands.console import followed
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.rules.identifiers import RunPath
from support.servers.sdk import Served, eventually

_ON = {"STEPWELL_SYSTEM_SECONDS": "0.2", "STEPWELL_CONSOLE": "auto"}
_REDIRECT = {"STEPWELL_CONSOLE": "redirect", "STEPWELL_QUIET": "true"}


def _lines(sdk: Served, run: str = "run") -> list[tuple[str, str]]:
    found = sdk.store.query(
        "SELECT key, value FROM {db}.strings WHERE run_id = {run:String} AND startsWith(key, 'console/') ORDER BY step",
        {"run": run},
    ).to_pylist()
    return [(row["key"].removeprefix("console/"), row["value"]) for row in found]


def _is_sampled(sdk: Served, key: str, run: str = "run") -> bool:
    return bool(sdk.numbers(key, run))


_BOTH = """
import sys, time, stepwell
run = stepwell.init(id="run", resume="allow", config={"lr": 1})
print("first step", run.step)
for row in range(10):
    run.log({"row": row})
    sys.stderr.write(f"\\r{row}/10")
    time.sleep(0.1)
print("", file=sys.stderr)
receipt = run.finish(quiet=True)
print(receipt.logged, receipt.points, receipt.stored, receipt.pending, receipt.conflicts, receipt.delivered)
"""


def test_neither_moves_what_the_run_itself_logged(sdk: Served) -> None:
    for session in range(2):
        out, err = sdk.run(_BOTH, code=0, **_ON)
        assert out == f"first step {10 * session}\n10 10 10 0 0 12\n"
        assert err.splitlines()[-2:] == ["8/10", "9/10"]
    eventually(lambda: [step for step, _ in sdk.numbers("row")], list(range(20)))
    eventually(
        lambda: [line for line in _lines(sdk) if line[0] == "stdout"], [("stdout", f"first step {s}") for s in (0, 10)]
    )
    eventually(lambda: len(sdk.numbers("system/memory")) >= 4, True)
    eventually(lambda: _lines(sdk)[-1], ("stderr", "9/10"))
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    assert (run.lastHistoryStep, run.info["points"], run.info["log_rows"]) == (19, 20, 20)
    assert (run.summary, run.config) == ({"row": 9.0}, {"lr": 1})
    assert [set(row) - {"_step", "_timestamp", "_runtime"} for row in run.history(pandas=False)] == [{"row"}] * 20
    samples = run.system_metrics(pandas=False)
    assert [row["_step"] for row in samples] == list(range(len(samples)))
    assert {"system/cpu", "system/memory", "system/network.sent", "system/process.memory"} <= set(samples[-1])
    assert [line.text for line in run.console() if line.stream == "stdout"] == ["first step 0", "first step 10"]
    assert [line.text for line in run.console(lines=2) if line.stream == "stderr"][-1] == "9/10"
    assert sdk.journals() == []


def test_it_is_shown_on_the_command_line(sdk: Served) -> None:
    sdk.run(_BOTH, code=0, **_ON)
    eventually(lambda: ("stderr", "9/10") in _lines(sdk) and _is_sampled(sdk, "system/memory"), True)
    shown = partial(sdk.command, COLUMNS="400")
    out, err = shown("console", "me/p/run", "--follow")
    assert out == "first step 0\n"
    assert err.splitlines()[-1] == "9/10"
    assert '"text": "first step 0"' in shown("console", "me/p/run", "--json")[0]
    assert shown("console", "me/p/run", "--lines", "0") == ("", "")
    sdk.run("import stepwell\nstepwell.init(id='odd')\nprint('NaN')\nprint('a\u2028b')", STEPWELL_CONSOLE="auto")
    eventually(lambda: len(_lines(sdk, "odd")), 2)
    assert shown("console", "me/p/odd")[0] == "NaN\na\u2028b\n"
    odd = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/odd")
    assert [line.text for line in odd.console()] == ["NaN", "a\u2028b"]
    assert "system/memory" in shown("history", "me/p/run", "--system")[0]
    assert "system/memory" not in shown("history", "me/p/run")[0]


_RANK = """
import sys, time, stepwell
run = stepwell.init(id="run", writer=sys.argv[1])
print("I am", sys.argv[1])
while run._side_streams._writers[0].current == 0:
    time.sleep(0.01)
"""


def test_writers_of_one_run_keep_theirs_apart(sdk: Served) -> None:
    processes = [sdk.start(_RANK, f"rank{rank}", **_ON) for rank in (1, 2)]
    for process in processes:
        process.communicate(timeout=60)
    eventually(lambda: sorted(_lines(sdk)), [(f"rank{rank}/stdout", f"I am rank{rank}") for rank in (1, 2)])
    for rank in (1, 2):
        eventually(partial(_is_sampled, sdk, f"system/rank{rank}/process.memory"), True)
    _, err = sdk.run("import stepwell\nstepwell.init(writer='rank1//system')", code=1)
    assert "end in //system" in err


_TWO_WRITERS = """
import sys, stepwell
runs = {name: stepwell.init(id="run", writer=name, reinit="create_new") for name in ("a", "b")}
for line in sys.stdin:
    name, _, text = line.strip().partition(" ")
    runs[name].write_logs(text.replace(",", "\\n"))
"""


def test_lines_of_a_writer_that_counts_lower_are_followed(sdk: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell_deploy.cli.commands.console._POLL_SECONDS", 0.05)
    with (
        sdk.start(_TWO_WRITERS, STEPWELL_CONSOLE="auto") as training,
        ServiceClient(sdk.environment["STEPWELL_BASE_URL"]) as service,
    ):
        assert training.stdin is not None

        def log(line: str) -> None:
            assert training.stdin is not None
            print(line, file=training.stdin, flush=True)

        log("a one,two,three")
        eventually(lambda: len(_lines(sdk)), 3)
        # The service knows a run after its first rows.
        eventually(lambda: sdk.store.query("SELECT count() > 0 AS known FROM {db}.runs")["known"][0].as_py(), True)
        lines = followed(service, RunPath("me", "p", "run"), 2)
        assert next(lines)[2:] == ("a/stdout", "three")
        log("b four")
        found = next(lines)
        assert (found.number, *found[2:]) == (0, "b/stdout", "four")
        log("a five")
        assert next(lines).text == "five"
        training.communicate()
        assert list(lines) == []


_ALL_SOURCES = """
import ctypes, os, subprocess, sys, stepwell
run = stepwell.init(id="run")
print("python")
subprocess.run(["sh", "-c", "echo shell; echo shell-err >&2"])
libc = ctypes.CDLL(None)
libc.puts(b"from C"), libc.fflush(None)
os.write(2, b"bytes \\xff\\n")
if os.fork() == 0:
    print("child", flush=True)
    os._exit(0)
os.wait()
print("tty", sys.stdout.isatty())
run.finish(quiet=True)
print("after")
"""


def test_a_redirect_hears_subprocesses_and_c_code_and_leaves_no_child(sdk: Served) -> None:
    out, err = sdk.run(_ALL_SOURCES, code=0, **_REDIRECT)
    seen = ["python", "shell", "from C", "child", "tty False"]
    assert out.splitlines() == [*seen, "after"]
    assert err == "shell-err\nbytes \udcff\n", "the byte 0xff, which is no UTF-8"
    eventually(lambda: [text for name, text in _lines(sdk) if name == "stdout"], seen)
    eventually(lambda: [text for name, text in _lines(sdk) if name == "stderr"], ["shell-err", "bytes \ufffd"])


def test_a_redirected_terminal_stays_one(sdk: Served) -> None:
    master, slave = pty.openpty()
    env = {**os.environ, **sdk.environment, **_REDIRECT}
    with subprocess.Popen([sys.executable, "-c", _ALL_SOURCES], env=env, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 4096):
                shown += piece
        except OSError:
            pass  # the end of a terminal
    os.close(master)
    assert process.returncode == 0
    assert b"tty True\r\nafter\r\n" in shown
    eventually(lambda: ("stdout", "tty True") in _lines(sdk), True)


_HELD = """
import ctypes, os, sys, stepwell
run = stepwell.init(id="run", mode=sys.argv[1])
libc = ctypes.PyDLL(None)  # keeps the interpreter's lock while it prints
line = b"x" * 1000
for number in range(2000):
    libc.puts(line)
libc.fflush(None)
os.kill(os.getpid(), 9)
"""


def test_c_code_that_holds_the_interpreter_never_stops_and_a_kill_loses_no_output(sdk: Served) -> None:
    out, _ = sdk.run(_HELD, "offline", code=-signal.SIGKILL, **_REDIRECT)
    assert out == ("x" * 1000 + "\n") * 2000


_KILLED = """
import os, sys, time, stepwell
run = stepwell.init(id="run")
for row in range(200):
    print("line", row)
    run.log({"row": row})
print("last", file=sys.stderr)
log = run._side_streams._writers[-1]
while log.journal is None or log.journal.sequence < 201:
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("away", [False, True])
def test_a_kill_loses_no_line_that_is_in_the_journal(sdk: Served, away: bool) -> None:
    gone = (
        {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"} if away else {}
    )
    sdk.run(_KILLED, code=-signal.SIGKILL, STEPWELL_CONSOLE="auto", **gone)
    out, _ = sdk.run(
        "import stepwell\nrun = stepwell.init(id='run', resume='must')\nprint(run.step)\nrun.finish(quiet=True)"
    )
    assert out == "200\n"
    wanted = [*(("stdout", f"line {row}") for row in range(200)), ("stderr", "last")]
    eventually(lambda: _lines(sdk), wanted)
    assert sdk.journals() == []


_FAILING = """
import sys, stepwell
def fail():
    raise ValueError("no such batch")
if sys.argv[1] == "with":
    with stepwell.init(id=sys.argv[1]):
        fail()
stepwell.init(id=sys.argv[1])
fail()
"""


@pytest.mark.parametrize("way", ["with", "hook"])
def test_the_traceback_of_a_failed_run_is_kept_once(sdk: Served, way: str) -> None:
    sdk.run(_FAILING, way, code=1, STEPWELL_CONSOLE="auto")
    eventually(lambda: ("stderr", "ValueError: no such batch") in _lines(sdk, way), True)
    assert _lines(sdk, way)[0] == ("stderr", "Traceback (most recent call last):")
    assert [text for _, text in _lines(sdk, way)].count("ValueError: no such batch") == 1


_FORKED = """
import multiprocessing, os, sys, threading, time, stepwell

def work(number):
    print("worker", number)
    print("unfinished", number, end="")
    if number == 1:
        raise ValueError("no such worker")

run = stepwell.init(id="run")
print("parent", flush=True)
for child in range(3):
    pid = os.fork()
    if pid == 0:
        print("child", child, flush=True)
        if child == 1:
            run.log({"child": child})
        names = {thread.name for thread in threading.enumerate()}
        print("threads", not names & {"stepwell-system", "stepwell-console"}, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in range(2)]
for worker in workers:
    worker.start()
    worker.join()
while run._side_streams._writers[0].current == 0:
    time.sleep(0.01)
print("parent again")
run.finish(quiet=True)
print("end", "write" in vars(sys.stdout))
"""


def test_what_forked_children_print_is_kept_and_they_sample_nothing(sdk: Served) -> None:
    out, err = sdk.run(_FORKED, code=0, **_ON)
    shown = [line for child in range(3) for line in (f"child {child}", "threads True")]
    assert out.splitlines() == [
        "parent",
        *shown,
        "worker 0",
        "unfinished 0worker 1",
        "unfinished 1parent again",
        "end False",
    ]
    wanted = [*shown, *(f"{line} {worker}" for worker in range(2) for line in ("worker", "unfinished"))]
    eventually(lambda: sorted(text for name, text in _lines(sdk) if name.endswith("/stdout")), sorted(wanted))
    eventually(lambda: [text for name, text in _lines(sdk) if name == "stdout"], ["parent", "parent again"])
    eventually(
        lambda: [text for name, text in _lines(sdk) if name.endswith("/stderr")][-1:], ["ValueError: no such worker"]
    )
    # Numbered from the parent's count at the fork, so in order with its lines.
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    lines = run.console()
    assert lines[0][2:] == ("stdout", "parent")
    assert all(line.number > 0 for line in lines[1:])
    assert {line.stream for line in lines if line.text == "child 2"} != {"stdout"}
    assert len([line for line in err.splitlines() if "forked process" in line]) == 1
    eventually(lambda: len(sdk.numbers("child")) + len(sdk.journals()), 1)
    eventually(lambda: _is_sampled(sdk, "system/memory"), True)
    samples = sdk.numbers("system/memory")
    assert [step for step, _ in samples] == list(range(len(samples)))


_OFFLINE = """
import stepwell, time
run = stepwell.init(id="run", mode="offline", settings=stepwell.Settings(x_stats_sampling_interval=0.1, console="wrap"))
print("offline")
run.log({"a": 1})
while run._side_streams._writers[0].current < 3:
    time.sleep(0.01)
receipt = run.finish()
assert receipt.pending_beside and len(receipt.journals_beside) == 2, receipt
other = stepwell.init(id="none", mode="offline", settings=stepwell.Settings(console="off", x_disable_stats=True))
print("unheard")
time.sleep(0.5)
assert other.finish().journals_beside == ()
disabled = stepwell.init(id="disabled", mode="disabled", settings={"system_seconds": 0.1, "console": "redirect"})
import threading
# The process waits for SIGTERM since its first run.
names = [thread.name for thread in threading.enumerate() if thread.name.startswith("stepwell")]
assert names == ["stepwell-sigterm"], names
"""


def test_an_offline_run_keeps_them_for_sync_and_each_can_be_switched_off(sdk: Served) -> None:
    _, err = sdk.run(_OFFLINE)
    command = next(line for line in err.splitlines() if "me/p/run" in line).partition(": stepwell ")[2]
    sdk.command(*command.split())
    eventually(lambda: _lines(sdk), [("stdout", "offline")])
    eventually(lambda: len(sdk.numbers("system/memory")) > 2, True)
    assert _lines(sdk, "none") == []
