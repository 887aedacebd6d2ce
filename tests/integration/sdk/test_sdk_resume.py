"""`resume=`: continues after the last step, known to the service or only to an undelivered journal."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest

import stepwell
from support.servers.sdk import Served, eventually

_AWAY = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}

_SESSION = """
import os, signal, sys, stepwell
resume, rows, end, mode = sys.argv[1] or None, sys.argv[2], sys.argv[3], sys.argv[4]
run = stepwell.init(id=None if resume == "auto" else "run", resume=resume, mode=mode)
print(run.id, run.step, run.resumed)
for row in map(int, rows.split()):
    run.log({"row": row}, step=row if end == "asked" else None)
sys.stdout.flush()
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""


def _session(sdk: Served, resume: str, rows: str, end: str = "", mode: str = "online", **away: str) -> list[str]:
    out, _ = sdk.run(_SESSION, resume, rows, end, mode, code=-signal.SIGKILL if end == "kill" else 0, **away)
    return out.split()


def _is_stored(sdk: Served, steps: list[int]) -> None:
    eventually(lambda: [step for step, _ in sdk.numbers("row")], steps)


@pytest.mark.parametrize("resume", ["allow", "must"])
def test_a_finished_run_goes_on_behind_its_last_step(sdk: Served, resume: str) -> None:
    _session(sdk, "", "0 1 2")
    _is_stored(sdk, [0, 1, 2])
    assert _session(sdk, resume, "3 4") == ["run", "3", "True"]
    _is_stored(sdk, [0, 1, 2, 3, 4])


def test_a_run_that_stands_on_an_asked_step_goes_on_behind_it(sdk: Served) -> None:
    _session(sdk, "", "5 10", "asked")
    _is_stored(sdk, [5, 10])
    assert _session(sdk, "allow", "11 12") == ["run", "11", "True"]
    _is_stored(sdk, [5, 10, 11, 12])
    assert [value for _, value in sdk.numbers("row")] == [5, 10, 11, 12]


def test_what_only_a_journal_knows_counts(sdk: Served) -> None:
    _session(sdk, "", "0 1 2")
    _is_stored(sdk, [0, 1, 2])
    assert _session(sdk, "allow", "3 4", "kill", "offline")[1] == "3"
    assert _session(sdk, "allow", "5 6", "kill", **_AWAY)[1] == "5"
    assert _session(sdk, "must", "7 8", "kill")[1] == "7"
    assert _session(sdk, "must", "9")[1] == "9"
    _is_stored(sdk, list(range(10)))
    assert [value for _, value in sdk.numbers("row")] == list(range(10))
    assert sdk.count("step_conflicts") == 0


def test_never_refuses_a_run_that_only_a_journal_knows(sdk: Served) -> None:
    assert _session(sdk, "never", "0", "kill", **_AWAY) == ["run", "0", "False"]
    _, err = sdk.run(_SESSION, "never", "1", "", "online", code=1)
    assert re.search(r"ResumeError: resume='never'.*me/p/run", err)
    _, err = sdk.run(_SESSION.replace('"run"', '"other"'), "must", "1", "", "online", code=1)
    assert re.search(r"ResumeError: resume='must'.*me/p/other", err)


def test_auto_finds_the_run_that_crashed_here_and_forgets_one_that_finished(sdk: Served) -> None:
    crashed, *rest = _session(sdk, "auto", "0 1", "kill")
    assert rest == ["0", "False"]
    assert _session(sdk, "auto", "2") == [crashed, "2", "True"]
    assert _session(sdk, "auto", "0")[0] != crashed
    eventually(lambda: sdk.numbers("row", crashed), [(0, 0.0), (1, 1.0), (2, 2.0)])


_STATE = """
import json, os, signal, sys, stepwell
resume, config, end = sys.argv[1] or None, json.loads(sys.argv[2]), sys.argv[3]
first = {"name": "nice", "notes": "n", "tags": ["a"], "group": "g", "job_type": "j"} if resume is None else {}
run = stepwell.init(id="run", resume=resume, config=config, **first)
state = {name: getattr(run, name) for name in ("name", "notes", "tags", "group", "job_type", "step")}
print(json.dumps({**state, "config": dict(run.config), "summary": dict(run.summary)}))
run.define_metric("acc", summary="max,mean")
for value in map(float, sys.argv[4:]):
    run.log({"acc": value, "plain": value})
    if value > run.summary.get("best", 0):
        run.summary["best"] = value
sys.stdout.flush()
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""


def _state(sdk: Served, resume: str, config: dict[str, float], end: str, *values: float) -> dict[str, Any]:
    code = -signal.SIGKILL if end == "kill" else 0
    out, _ = sdk.run(_STATE, resume, json.dumps(config), end, *map(str, values), code=code)
    return dict(json.loads(out))


def test_a_resumed_run_continues_with_what_is_stored_and_what_a_journal_holds(sdk: Served) -> None:
    described = {"name": "nice", "notes": "n", "tags": ["a"], "group": "g", "job_type": "j"}
    assert _state(sdk, "", {"lr": 0.1, "depth": 3}, "", 1, 3, 2)["summary"] == {}
    eventually(lambda: len(sdk.numbers("acc")), 3)
    second = _state(sdk, "must", {"lr": 0.2}, "kill", 2, 7)
    assert {name: second[name] for name in described} == described
    assert (second["step"], second["config"]) == (3, {"lr": 0.2, "depth": 3})
    assert second["summary"] == {"acc": {"max": 3, "mean": 2}, "plain": 2, "best": 3}
    # Of the second session, any part may be in its journal alone, in Kafka, or stored.
    third = _state(sdk, "allow", {}, "", 5)
    assert {name: third[name] for name in described} == described
    assert (third["step"], third["config"]) == (5, {"lr": 0.2, "depth": 3})
    assert third["summary"] == {"acc": {"max": 7, "mean": 3}, "plain": 7, "best": 7}
    eventually(lambda: len(sdk.numbers("acc")), 6)
    stored = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    assert {name: getattr(stored, name) for name in described} == described
    assert dict(stored.config) == {"lr": 0.2, "depth": 3}
    assert dict(stored.summary) == {"acc": {"max": 7, "mean": pytest.approx(20 / 6)}, "plain": 5, "best": 7}
    assert stored.info["summary_set"] == ["best"]
