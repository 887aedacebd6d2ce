"""`resume=`: continues after the last step, known to the service or only to an undelivered journal."""

from __future__ import annotations

import re
import signal

import pytest

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
