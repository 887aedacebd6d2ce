"""Sessions of ranks without a service: their run, their name, what their starts say, and where they continue."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.journal import locks
from stepwell.session import joining, resume
from stepwell.session.joining import ChosenRun, choose_run
from stepwell.session.known_run import KnownRun
from stepwell.session.launch import Launch, derive_run_id
from stepwell.session.node_claims import NodeClaims, release_kept
from stepwell.session.primacy import decides, stand_in_client
from stepwell.session.run import Run
from stepwell.session.spec import RunSpec
from stepwell_schemas.rules.identifiers import RunPath

_SCRIPT = ("me", "p", "train.py")
_LAUNCH = Launch(1, 4, 1, "launch")
_UUID = "0b1f6c1e-8f7a-4a5e-9d2f-3c4b5a697887"

StartRank = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartRank:
    """A function that starts an offline session as a rank of one launch."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(joining, "_joined", Counter())
    monkeypatch.setattr(resume, "fetch_document", lambda *_, **__: {"last_step": 40})
    monkeypatch.setattr(resume, "fetch_last_step_of", lambda *_: -1)
    monkeypatch.setattr(resume, "read_known_run", lambda *_: KnownRun())

    def init(rank: int, **arguments: Any) -> Run:
        for name, value in {"RANK": rank, "WORLD_SIZE": 4, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": _UUID}.items():
            monkeypatch.setenv(name, str(value))
        settings = {"quiet": True, "console": "off", "system_seconds": 0}
        given = {"mode": "offline", "reinit": "create_new", "settings": settings, **arguments}
        return stepwell.init("me", "p", tmp_path, **given)

    return init


def _written(path: str) -> bytes:
    return b"".join(file.read_bytes() for file in Path(path).iterdir())


def test_ranks_of_a_launch_derive_one_run_and_the_second_init_another(start: StartRank) -> None:
    first = start(0)
    joining._joined.clear()
    second = start(1)
    assert first.id == second.id == derive_run_id(f"elastic/{_UUID}", Path(first._spec.code.program).name, 0)
    assert [first.writer, second.writer] == ["rank0", "rank1"]
    assert start(1).id == derive_run_id(f"elastic/{_UUID}", Path(first._spec.code.program).name, 1)
    named = start(2, id="run", writer="learner")
    assert (named.id, named.writer) == ("run", "learner")


def test_two_sessions_of_one_rank_are_kept_apart(start: StartRank, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = start(0, id="run"), start(0, id="run")
    assert [first.writer, second.writer] == ["rank0", "rank0.2"]
    assert not second._spec.primary
    assert "rank0.2" in capfd.readouterr().err
    first.finish()
    assert start(0, id="run").writer == "rank0"


def _claim_files(folder: Path) -> list[Path]:
    return list(folder.glob("stepwell_node_*/*"))


def test_a_worker_of_multiprocessing_next_to_its_parent_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = {"quiet": True, "console": "off", "system_seconds": 0}

    def start(run_id: str) -> Run:
        return stepwell.init("me", "p", tmp_path, id=run_id, mode="offline", reinit="create_new", settings=settings)

    parent = start("run")
    assert (start("run").writer, capfd.readouterr().err) == ("", "")
    monkeypatch.setattr(joining, "is_worker", lambda: True)
    worker = start("run")
    assert (parent.writer, worker.writer) == ("", f"process-{os.getpid()}")
    assert (parent._spec.primary, worker._spec.primary) == (True, False)
    assert worker.writer in capfd.readouterr().err
    alone = start("other")
    assert (alone.writer, alone._spec.primary) == ("", True)
    # Tasks of a pool: between two runs the worker keeps its writer, which another worker does not get meanwhile.
    for run in (parent, worker, alone):
        run.finish()
    later = [start(run_id) for run_id in ("run", "other")]
    assert [run.writer for run in later] == [worker.writer, ""]
    for run in later:
        run.finish()
    with monkeypatch.context() as patch:
        patch.setattr(joining, "is_worker", lambda: False)
        parent = start("other")
    assert (parent.writer, start("other").writer) == ("", worker.writer)
    parent.finish()
    stepwell.finish()
    claimed = _claim_files(tmp_path)
    assert len(claimed) == 2
    assert not any(map(locks.try_lock, claimed))
    release_kept()
    assert _claim_files(tmp_path) == []


def test_claims_that_a_process_keeps_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for number in range(20):
        claims = NodeClaims(RunPath("me", "p", f"run{number}"), "there")
        claims.keep_writer("")
        claims.release()
    assert len(_claim_files(tmp_path)) == 16
    release_kept()
    assert _claim_files(tmp_path) == []


def test_the_run_of_a_rank() -> None:
    assert choose_run("run", "never", _LAUNCH, _SCRIPT) == ChosenRun("run", "", primary=False)
    assert choose_run("run", "must", _LAUNCH, _SCRIPT) == ChosenRun("run", "must", primary=False)
    assert choose_run("run", "never", _LAUNCH._replace(rank=0), _SCRIPT) == ChosenRun("run", "never", primary=True)
    assert choose_run("", "must", Launch(), _SCRIPT) == ChosenRun("", "must", primary=True)
    assert choose_run("", "must", _LAUNCH._replace(launch_id=""), _SCRIPT) == ChosenRun("", "must", primary=True)
    for rule, chosen in (("never", ""), ("must", "allow"), ("auto", "auto"), ("", "")):
        assert choose_run("", rule, _LAUNCH, _SCRIPT)[1:] == (chosen, False)


def test_a_rank_starts_after_its_own_journals_or_with_the_living_ranks(start: StartRank) -> None:
    runs = [start(rank, id="run", resume="allow") for rank in (0, 1)]
    assert [run.step for run in runs] == [41, 41]
    for rank, run in enumerate(runs):
        for _ in range(3 + rank):
            run.log({"row": 1})
    runs[1].finish()
    # Rank 1 has a journal here, rank 2 starts with rank 0, which has moved on since.
    assert start(1, id="run", resume="allow").step == 45
    assert start(2, id="run", resume="allow").step == 41
    runs[0].finish()
    assert start(0, id="run", resume="allow").step == 44


def test_a_rank_starts_after_its_own_stored_steps(start: StartRank, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"rank0": 37, "rank1": 0, "rank2": -1}
    monkeypatch.setattr(resume, "fetch_last_step_of", lambda _path, writer, _settings: own[writer])
    runs = [start(rank, id="run", resume="allow") for rank in (0, 1, 2)]
    assert [run.step for run in runs] == [38, 1, 1]
    for _ in range(3):
        runs[0].log({"row": 1})
    runs[0].finish()
    # Its journal has more than the service; that of rank 1 has less.
    assert start(0, id="run", resume="allow").step == 41
    runs[1].finish()
    own["rank1"] = 5
    assert start(1, id="run", resume="allow").step == 6


def test_a_rank_that_logs_alone_describes_and_ends_its_offline_run(start: StartRank) -> None:
    alone = start(3, id="run", name="mine")
    alone.finish()
    text = _written(alone.journal_path)
    assert text.count(b'"RunStarted"') == 2
    assert text.count(b'"mine"') == 1
    assert text.count(b'"RunFinished"') == 1


def test_a_rank_next_to_rank_0_neither_describes_nor_ends_the_run(start: StartRank) -> None:
    first, other = start(0, id="run", name="first"), start(3, id="run", name="mine", config={"own": 3})
    other.finish()
    text = _written(other.journal_path)
    assert text.count(b'"RunStarted"') == 1
    assert b'"mine"' not in text
    assert b"own" in text
    assert b'"RunFinished"' not in text
    first.finish()
    assert _written(first.journal_path).count(b'"RunFinished"') == 1


def test_who_decides() -> None:
    spec = RunSpec(
        RunPath("me", "p", "run"), "rank3", "", "", (), "", "", {}, "online", "", quiet=True, keep_journal=False
    )
    assert decides("", spec)
    assert decides(stand_in_client(spec), spec)
    assert not decides(stand_in_client(spec._replace(writer="rank5")), spec)
    assert not decides(spec.client, spec)
    assert not decides(None, spec)
