"""Forked and spawned processes of one run: every point arrives once, at its step, and no exit waits for another."""

from __future__ import annotations

import time
from functools import partial

import pytest

from support.servers.sdk import Served, eventually

_QUICK_SECONDS = 30.0

_FORKS = """
import os, sys, stepwell
run = stepwell.init(id="run")
for row in range(10):
    run.log({"parent": row})
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for row in range(50):
            run.log({f"child{child}": row})
        run.log({f"child{child}/asked": 1}, step=1000 + child)
        if child == 0:
            run.finish()
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
for row in range(10, 20):
    run.log({"parent": row})
receipt = run.finish()
print(receipt.error, receipt.pending)
"""

_WORKERS = """
import multiprocessing, os, sys, stepwell

def work(number, run):
    for row in range(20):
        run.log({f"worker{number}": row}, step=10 * row + number)

def in_own_run(number):
    run = stepwell.init(id="run", writer=f"rank{number}")
    for row in range(20):
        run.log({f"worker{number}": row}, step=10 * row + number)
    if number % 2:
        run.finish()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    run = stepwell.init(id="run")
    workers = [
        context.Process(target=work, args=(number, run), daemon=number == 0)
        if sys.argv[2] == "inherited" else context.Process(target=in_own_run, args=(number,))
        for number in range(int(sys.argv[3]))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    run.log({"parent": 1})
"""

_UNDER_LOAD = """
import os, threading, stepwell
run = stepwell.init(id="run")
stop = threading.Event()
def log(name):
    row = 0
    while not stop.is_set():
        run.log({name: row})
        row += 1
threads = [threading.Thread(target=log, args=(f"thread{number}",)) for number in range(3)]
for thread in threads:
    thread.start()
for child in range(20):
    pid = os.fork()
    if pid == 0:
        for row in range(5):
            run.log({"child": child * 5 + row}, step=10_000_000 + child * 5 + row)
        os._exit(0)
    os.waitpid(pid, 0)
stop.set()
for thread in threads:
    thread.join()
print(run._rows.rows)
"""


def test_children_that_only_exit_are_delivered_by_their_parent(sdk: Served) -> None:
    # Forks while the sender's thread imports its modules, too.
    out, _ = sdk.importing.run(_FORKS)
    assert out.split() == ["0"]
    for child in range(3):
        eventually(partial(sdk.numbers, f"child{child}"), [(10 + row, float(row)) for row in range(50)])
        eventually(partial(sdk.numbers, f"child{child}/asked"), [(1000 + child, 1.0)])
    eventually(lambda: sdk.numbers("parent"), [(row, float(row)) for row in range(20)])
    assert sdk.count("step_conflicts") == 0
    assert sdk.journals() == []
    assert sdk.state() == "finished"


# A spawned worker imports everything itself.
@pytest.mark.parametrize(
    ("method", "kind", "workers"), [("fork", "inherited", 4), ("fork", "own", 4), ("spawn", "own", 2)]
)
def test_workers_of_a_pool_lose_nothing_and_end_at_once(sdk: Served, method: str, kind: str, workers: int) -> None:
    script = sdk.folder / "train.py"
    script.write_text(_WORKERS)
    began = time.monotonic()
    sdk.run(script, method, kind, str(workers))
    assert time.monotonic() - began < _QUICK_SECONDS
    for number in range(workers):
        wanted = [(10 * row + number, float(row)) for row in range(20)]
        eventually(partial(sdk.numbers, f"worker{number}"), wanted)
    eventually(lambda: sdk.numbers("parent"), [(0, 1.0)])
    assert sdk.journals() == []


_ONE_KEY = """
import multiprocessing, os, sys, stepwell

def log(run, number):
    for row in range(300):
        run.log({"loss": 1000 * number + row}, step=row)

def in_own_session(number):
    run = stepwell.init(id="run")
    log(run, number)
    run.finish()

if __name__ == "__main__":
    run = stepwell.init(id="run", name="nice")
    log(run, 0)
    for number in (1, 2):
        if not os.fork():
            log(run, number)
            os._exit(0)
    workers = [
        multiprocessing.get_context(method).Process(target=in_own_session, args=(number,))
        for number, method in ((3, "fork"), (4, "spawn"))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    for _ in (1, 2):
        os.wait()
"""


def test_processes_that_log_one_key_at_the_same_steps_keep_their_rows(sdk: Served) -> None:
    script = sdk.folder / "train.py"
    script.write_text(_ONE_KEY)
    sdk.run(script)
    wanted = sorted((row, float(1000 * number + row)) for number in range(5) for row in range(300))
    eventually(lambda: len(sdk.numbers("loss")), len(wanted))
    assert sorted(sdk.numbers("loss")) == wanted
    writers = "SELECT DISTINCT writer FROM {db}.points_number WHERE key = 'loss' ORDER BY writer"
    names = sdk.store.query(writers).column("writer").to_pylist()
    assert (names[0], len(names)) == ("", 5)
    assert sum(name.startswith("process-") for name in names) == 2
    # The workers neither describe nor end the run of their parent.
    runs = sdk.store.query("SELECT name, state FROM {db}.runs").to_pylist()
    assert runs == [{"name": "nice", "state": "finished"}]
    assert sdk.count("step_conflicts") == 0


_TASKS = """
import multiprocessing, stepwell

def work(number, turns):
    for task in (0, 1):
        turns[number].acquire()
        run = stepwell.init(id="run")
        for row in range(10):
            run.log({"loss": 1000 * number + 10 * task + row})
        run.finish()
        turns[1 - number].release()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    turns = [context.Semaphore(1), context.Semaphore(0)]
    workers = [context.Process(target=work, args=(number, turns)) for number in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
"""


def test_workers_that_take_turns_are_a_writer_each_and_keep_their_rows(sdk: Served) -> None:
    script = sdk.folder / "train.py"
    script.write_text(_TASKS)
    sdk.run(script)
    wanted = sorted((row, float(1000 * number + row)) for number in (0, 1) for row in range(20))
    eventually(lambda: sorted(sdk.numbers("loss")), wanted)
    assert sdk.count("step_conflicts") == 0
    assert sdk.state() == "finished"


def test_forks_while_threads_log_never_deadlock(sdk: Served) -> None:
    out, _ = sdk.run(_UNDER_LOAD)
    eventually(lambda: sdk.numbers("child"), [(10_000_000 + row, float(row)) for row in range(100)])
    eventually(lambda: sum(len(sdk.numbers(f"thread{number}")) for number in range(3)), int(out))
