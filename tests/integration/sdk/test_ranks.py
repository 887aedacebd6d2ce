"""Ranks of one launch, as real processes under the variables of torchrun: they join one run and write apart."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell_schemas.rules.streams import DEFAULT, parse_stream
from support.servers.sdk import Served, end_process, eventually

pytestmark = pytest.mark.timeout(600)

_RANKS = 4
_ROWS = 40
_DEADLINE_SECONDS = 300.0

_ENVIRON = """
import os, sys

def environ(rank, ranks):
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": "none",
    }
"""

_LAUNCHER = f"""{_ENVIRON}
script, ranks, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
children = []
for rank in range(ranks):
    child = os.fork()
    if child == 0:
        os.environ.update(environ(rank, ranks))
        sys.argv = ["-c", *arguments]
        exec(script, {{"__name__": "__main__"}})
        break
    children.append(child)
else:
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, codes)))
"""
"""A launcher of all ranks on this node, and its exit code, the highest of theirs: its ranks have imported the SDK."""

_NEW_INTERPRETERS = f"""{_ENVIRON}
import subprocess
script, ranks, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

def start(rank):
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env={{**os.environ, **environ(rank, ranks)}})

codes = [process.wait() for process in [start(rank) for rank in range(ranks)]]
sys.exit(max(map(abs, codes)))
"""
"""The same, as torchrun starts its ranks."""

_TRAINING = """
import os, sys, stepwell
rank, rows = int(os.environ["RANK"]), int(sys.argv[1])
run = stepwell.init(name=f"name of {rank}", tags=[f"tag {rank}"], config={"lr": 0.1, f"own/{rank}": rank})
print(run.id, run.writer)
for row in range(rows):
    run.log({"loss": row + rank / 10})
receipt = run.finish(timeout=240)
assert (receipt.conflicts, receipt.pending, receipt.error) == (0, 0, ""), receipt
"""


def _launch(
    sdk: Served,
    script: str,
    ranks: int,
    *arguments: str,
    code: int = 0,
    launcher: str = _LAUNCHER,
    **environment: str,
) -> tuple[str, str]:
    launched = sdk.start(launcher, script, str(ranks), *arguments, **environment)
    return end_process(launched, code, _DEADLINE_SECONDS)


def _info(sdk: Served, run: str = "run") -> Mapping[str, Any]:
    return stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run(f"me/p/{run}").info


def test_ranks_that_name_nothing_join_one_run_with_every_value_at_its_step(sdk: Served) -> None:
    out, err = _launch(sdk, _TRAINING, _RANKS, str(_ROWS), launcher=_NEW_INTERPRETERS)
    lines = sorted(line.split() for line in out.splitlines())
    (run,) = {run for run, _ in lines}
    assert [writer for _, writer in lines] == [f"rank{rank}" for rank in range(_RANKS)]
    for rank in range(_RANKS):
        expected = [(row, row + rank / 10) for row in range(_ROWS)]
        eventually(partial(_numbers_of, sdk, run, "loss", f"rank{rank}"), expected)
    assert sdk.count("step_conflicts", run) == 0
    eventually(partial(sdk.state, run), "finished")
    info = _info(sdk, run)
    assert (info["name"], info["tags"]) == ("name of 0", ["tag 0"])
    assert info["config"] == {"lr": 0.1, **{f"own/{rank}": rank for rank in range(_RANKS)}}
    assert err.count(": see http") == 1
    assert sdk.journals() == []


def _numbers_of(sdk: Served, run: str, key: str, writer: str) -> list[tuple[int, float]]:
    found = (
        stepwell.Api(sdk.environment["STEPWELL_BASE_URL"])
        .run(f"me/p/{run}")
        .history(keys=[key], writer=writer, pandas=False)
    )
    return [(row["_step"], row[key]) for row in found]


_OFFLINE = "import stepwell; print(stepwell.init(mode='offline').id); print(stepwell.init(mode='offline').id)"


def test_each_launch_has_runs_of_its_own(sdk: Served) -> None:
    launches = [_launch(sdk, _OFFLINE, 2, launcher=_NEW_INTERPRETERS)[0].split() for _ in range(2)]
    assert [sorted(Counter(runs).values()) for runs in launches] == [[2, 2], [2, 2]]
    assert set(launches[0]).isdisjoint(launches[1])


_EARLY = """
import os, pathlib, sys, time, stepwell
rank, folder = int(os.environ["RANK"]), pathlib.Path(sys.argv[1])

def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.01)

if rank == 1:
    wait_for("started")
run = stepwell.init(id="run", resume="never")
run.log({f"loss/{rank}": 1})
if rank == 0:
    (folder / "started").touch()
    wait_for("seen")
run.finish(timeout=240)
if rank == 1:
    (folder / "finished").touch()
"""


def test_a_rank_that_ends_early_does_not_end_the_run(sdk: Served, tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    with sdk.start(_LAUNCHER, _EARLY, "2", str(folder)) as training:
        eventually(lambda: (folder / "finished").exists(), True)
        eventually(lambda: sdk.numbers("loss/1"), [(0, 1.0)])
        assert sdk.state() == "running"
        (folder / "seen").touch()
        _, err = training.communicate(timeout=_DEADLINE_SECONDS)
    assert training.returncode == 0, err
    eventually(sdk.state, "finished")


_LAST_ONLY = """
import os, stepwell
rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
mode = "disabled" if rank != ranks - 1 else None
run = stepwell.init(id="run", name="only", tags=["t"], mode=mode)
run.log({"loss": 1})
run.finish(exit_code=3, timeout=240)
"""


def test_a_rank_that_logs_alone_describes_and_ends_the_run(sdk: Served) -> None:
    _launch(sdk, _LAST_ONLY, 3)
    eventually(sdk.state, "failed")
    assert (_info(sdk)["name"], _info(sdk)["tags"]) == ("only", ["t"])
    assert sdk.numbers("loss") == [(0, 1.0)]


_FIRST_ONLY = _LAST_ONLY.replace("rank != ranks - 1", "rank != 0").replace("exit_code=3, ", "")


def test_a_job_with_one_logging_rank_is_a_run_as_before(sdk: Served) -> None:
    _, err = _launch(sdk, _FIRST_ONLY, 3)
    eventually(sdk.state, "finished")
    assert _info(sdk)["name"] == "only"
    assert sdk.numbers("loss") == [(0, 1.0)]
    assert err.count("stepwell:") == 2  # the address, and the receipt


_SPAWNING = """
import os, subprocess, sys, stepwell
run = stepwell.init(id="run")
run.log({"loss": 1})
inner = "import stepwell; run = stepwell.init(id='run'); run.log({'inner': 2}); print(run.writer, run.step)"
subprocess.run([sys.executable, "-c", inner], check=True)
if os.fork() == 0:
    run.log({"forked": 3})
    print(run.writer.replace(str(os.getpid()), "PID"), flush=True)
    run.finish(timeout=240)
    os._exit(0)
os.wait()
run.finish(timeout=240)
"""


def test_children_that_inherit_a_rank_are_writers_of_their_own(sdk: Served) -> None:
    out, err = _launch(sdk, _SPAWNING, 2)
    assert sorted(out.splitlines()) == [
        *("rank0.2 1", "rank0/fork-PID", "rank1.2 1", "rank1/fork-PID"),
    ]
    assert err.count("this one is rank0.2") == 1
    # Of the children of both ranks, kept apart.
    eventually(lambda: [step for step, _ in sdk.numbers("inner")], [0, 0])
    eventually(lambda: [step for step, _ in sdk.numbers("forked")], [1, 1])
    assert _info(sdk)["client"] == f"stepwell-python/{stepwell.__version__}"


_RESUMED = """
import os, pathlib, signal, sys, time, stepwell
rank, rows, killed = int(os.environ["RANK"]), int(sys.argv[1]), sys.argv[2] == "kill"
run = stepwell.init(id="run", resume="allow")
print(run.writer, run.step, flush=True)
if killed:
    # As in a real job: no rank ends before all have joined.
    ranks, folder = int(os.environ["WORLD_SIZE"]), pathlib.Path(os.environ["STEPWELL_DIR"])
    joined = [folder / f"joined {number}" for number in range(ranks)]
    joined[rank].touch()
    while not all(file.exists() for file in joined):
        time.sleep(0.01)
for row in range(rows + rank):
    run.log({f"loss/{rank}": run.step})
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
receipt = run.finish(timeout=240)
assert (receipt.conflicts, receipt.pending) == (0, 0), receipt
"""


def test_ranks_that_were_killed_continue_after_their_own_last_steps(sdk: Served) -> None:
    first, _ = _launch(sdk, _RESUMED, 4, "10", "kill", code=signal.SIGKILL)
    assert sorted(first.splitlines()) == [f"rank{rank} 0" for rank in range(4)]
    second, _ = _launch(sdk, _RESUMED, 5, "5", "")
    assert sorted(second.splitlines())[:4] == [f"rank{rank} {10 + rank}" for rank in range(4)]
    for rank in range(4):
        steps = list(range(10 + rank + 5 + rank))
        eventually(partial(sdk.numbers, f"loss/{rank}"), [(step, float(step)) for step in steps])
    assert sdk.count("step_conflicts") == 0


def test_ranks_continue_after_their_own_last_steps_on_another_node(sdk: Served, tmp_path: Path) -> None:
    _launch(sdk, _RESUMED, 2, "3", "")
    for rank in range(2):
        eventually(partial(sdk.numbers, f"loss/{rank}"), [(step, float(step)) for step in range(3 + rank)])
    # Nothing of the first launch is on the other node; rank 2 is new.
    folder = tmp_path / "other node"
    folder.mkdir()
    other = {"STEPWELL_DIR": str(folder), "TMPDIR": str(folder)}
    out, _ = _launch(sdk, _RESUMED, 3, "2", "", code=0, **other)
    lines = sorted(out.splitlines())
    assert lines[:2] == ["rank0 3", "rank1 4"]
    for rank in range(2):
        steps = range(3 + rank + 2 + rank)
        eventually(partial(sdk.numbers, f"loss/{rank}"), [(step, float(step)) for step in steps])
    assert sdk.count("step_conflicts") == 0


_SAMPLED = """
import os, pathlib, sys, time, stepwell
rank, folder = int(os.environ["RANK"]), pathlib.Path(sys.argv[1])
run = stepwell.init(id="run", settings={"system_seconds": 0.1, "console": "off"})
if rank == 0:
    while not (folder / "others").exists():
        time.sleep(0.01)
    os._exit(0)
samples = run._side_streams._writers[0]
while samples.current < 3:
    time.sleep(0.01)
(folder / f"sampled {rank}").touch()
while not (folder / "over").exists():
    time.sleep(0.01)
run.finish(timeout=240)
"""


def test_one_rank_of_a_node_samples_the_machine_and_another_takes_over(sdk: Served, tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()

    def sampling(metric: str) -> set[str]:
        rows = sdk.store.query(
            "SELECT DISTINCT key FROM {db}.metrics WHERE run_id = 'run' AND endsWith(key, {name:String})",
            {"name": f"/{metric}"},
        ).to_pylist()
        parts = [row["key"].split("/") for row in rows]
        return {named[1] if len(named) > 2 else "rank0" for named in parts}

    with sdk.start(_LAUNCHER, _SAMPLED, "3", str(folder)) as training:
        eventually(lambda: all((folder / f"sampled {rank}").exists() for rank in (1, 2)), True)
        eventually(lambda: sampling("process.memory") >= {"rank1", "rank2"}, True)
        eventually(lambda: bool(sampling("memory")), True)
        before = sampling("memory")
        assert len(before) == 1
        (folder / "others").touch()
        eventually(lambda: bool(sampling("memory") - {"rank0"}), True)
        (folder / "over").touch()
        training.communicate(timeout=_DEADLINE_SECONDS)
    assert len(sampling("memory") - {"rank0"}) == 1
    eventually(lambda: sampling("host") >= {"rank1", "rank2"}, True)
    assert os.uname().nodename in {value for (value,) in _hosts(sdk)}


def _hosts(sdk: Served) -> list[tuple[str]]:
    rows = sdk.store.query("SELECT value FROM {db}.strings WHERE endsWith(key, '/host')", {}).to_pylist()
    return [(row["value"],) for row in rows]


_MANUAL = (
    "import stepwell; run = stepwell.init(); print(run.id, run.writer); run.log({'loss': 1}); run.finish(timeout=240)"
)


def test_without_an_id_of_the_launch_ranks_are_runs_of_their_own(sdk: Served) -> None:
    ranks = [sdk.start(_MANUAL, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    outputs = [rank.communicate(timeout=_DEADLINE_SECONDS) for rank in ranks]
    runs = [out.split() for out, _ in outputs]
    assert [writer for _, writer in runs] == ["rank0", "rank1"]
    assert runs[0][0] != runs[1][0]
    assert ["STEPWELL_RUN_ID" in err for _, err in outputs] == [True, False]
    for run, _ in runs:
        eventually(partial(sdk.state, run), "finished")


_ONE_NAME = """
import sys, time, stepwell
run = stepwell.init(id="shared", writer="rank0")
assert run.writer == "rank0"
print("started", flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    run.log({"loss": 1.0})
    time.sleep(0.2)
receipt = run.finish(timeout=240)
assert (receipt.pending, receipt.error) == (0, ""), receipt
"""
_SHARED = "another process logs as rank0, too"


@pytest.mark.long
def test_two_hosts_with_one_name_are_kept_apart_and_a_restart_on_another_host_is_not(
    sdk: Served, tmp_path: Path
) -> None:
    def start(host: str, seconds: float) -> Any:
        folders = [tmp_path / host / name for name in ("tmp", "journals")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        # Locks and journals of their own, as on two machines.
        own = {"TMPDIR": str(folders[0]), "STEPWELL_DIR": str(folders[1]), "STEPWELL_STOP_POLL_SECONDS": "1"}
        process = sdk.start(_ONE_NAME, str(seconds), **own)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "started"
        return process

    def marks() -> list[tuple[str, bool]]:
        answer = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).get("runs/me/p/shared/sessions")
        found = ((one["writer"], one["writer_shared"]) for one in answer["sessions"])
        return sorted(one for one in found if parse_stream(one[0]) == DEFAULT)

    both = [start("one", 15.0), start("two", 15.0)]
    for process in both:
        assert end_process(process, 0, _DEADLINE_SECONDS)[1].count(_SHARED) == 1
    assert marks() == [("rank0", True), ("rank0.2", True)]
    assert len(_numbers_of(sdk, "shared", "loss", "rank0.2")) > 1
    alone = start("three", 1.0)
    assert _SHARED not in end_process(alone, 0, _DEADLINE_SECONDS)[1]
    assert marks() == [("rank0", False), ("rank0", False), ("rank0.2", True)]
