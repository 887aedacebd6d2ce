"""Copies and pickles: of a run, the run itself; of its config and summary, dicts; of media, the same content."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.session.copies import DetachedRun, restore_run
from stepwell_schemas.rules.identifiers import RunPath


@pytest.fixture
def run(tmp_path: Path) -> Iterator[stepwell.Run]:
    with stepwell.init("me", "p", tmp_path, "run", mode="offline", settings={"quiet": True}) as started:
        yield started


class Model:
    """An object that holds a run, as trainers and models do."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.weights = [1.0]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_of_a_run_is_the_run(run: stepwell.Run, copied: Callable[[Any], Any]) -> None:
    assert copied(run) is run
    model = copied(Model(run))
    assert model.run is run
    run.finish()
    assert copied(run) is run


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_of_config_or_summary_is_a_dict(run: stepwell.Run, copied: Callable[[Any], Any]) -> None:
    run.config.update({"lr": 0.1, "opt": {"name": "sgd"}})
    run.log({"loss": 1.0})
    run.summary["best"] = 2
    config, summary = copied(run.config), copied(run.summary)
    assert (type(config), config) == (dict, {"lr": 0.1, "opt": {"name": "sgd"}})
    assert (type(summary), summary) == (dict, {"loss": 1.0, "best": 2})
    config["lr"] = 9
    assert run.config.lr == 0.1


def test_a_pickle_becomes_the_session_that_resumes_the_run(tmp_path: Path) -> None:
    detached = restore_run(RunPath("me", "p", "run"), "another")
    assert isinstance(detached, DetachedRun)
    assert (detached.id, detached.path) == ("run", "me/p/run")
    with pytest.raises(stepwell.UsageError, match=r"init\(id='run', resume='must'\)"):
        detached.log({"a": 1})
    with stepwell.init("me", "p", tmp_path, "run", mode="offline", settings={"quiet": True}) as run:
        detached.log({"a": 1})
        detached.notes = "n"
        assert (run.summary["a"], run.notes) == (1, "n")
        assert pickle.loads(pickle.dumps(detached)) is run


def test_a_checkpoint_is_loaded_in_another_process(run: stepwell.Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(pickle.dumps({"run": run, "config": run.config}))
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')))"
    command = [sys.executable, "-c", script, str(tmp_path / "checkpoint")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "me/p/run, without a session" in found.stdout
    assert "SecretStr" not in (tmp_path / "checkpoint").read_text("latin-1")


@pytest.mark.parametrize(
    "media",
    [
        lambda: stepwell.Image(np.zeros((4, 4), np.uint8), caption="c"),
        lambda: stepwell.Table(columns=["a"], data=[[1], [2]]),
        lambda: stepwell.Histogram([1.0, 2.0]),
        lambda: stepwell.Audio(np.zeros(100, np.float32), sample_rate=8000),
        lambda: stepwell.Html("<p>a</p>"),
    ],
)
def test_media_are_copied(run: stepwell.Run, media: Callable[[], Any]) -> None:
    value = media()
    references = []
    for step, each in enumerate([value, copy.deepcopy(value), pickle.loads(pickle.dumps(value))]):
        run.log({"media": each}, step=step)
        references.append(run.summary["media"])
    assert references[0] == references[1] == references[2]
