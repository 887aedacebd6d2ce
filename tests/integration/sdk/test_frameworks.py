"""Frameworks' own code for wandb logs to Stepwell: each value of short trainings, read from the journals.

The scripts run groups of trainings, each in one process: those in which a `sitecustomize.py` installs Stepwell as
wandb, and those that import torch, for which there is a stand-in, with `sys.modules["wandb"] = stepwell`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from support.paths import TESTS
from support.readers.offline_runs import OfflineRun, read_offline_runs

_SCRIPTS: Final = Path(__file__).parent / "scripts"
_INSTALL: Final = "import stepwell; stepwell.install_as_wandb()"
_GROUPS: Final = (
    ("frameworks.py", ("transformers", "transformers_artifacts", "xgboost", "lightgbm", "optuna", "omegaconf")),
    ("frameworks_of_torch.py", ("accelerate", "lightning", "lightning_checkpoints", "sb3")),
    # Its import takes as long as those of all others.
    ("frameworks.py", ("keras",)),
)
_SECONDS: Final = 280

pytestmark = pytest.mark.timeout(300)

Train = Callable[[str], list[OfflineRun]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns the folder of a training; the first call of a group runs all its trainings."""

    @cache
    def run_group(script: str, trainings: tuple[str, ...]) -> Path:
        path = tmp_path_factory.mktemp("trainings")
        installing = tmp_path_factory.mktemp("as-wandb")
        (installing / "sitecustomize.py").write_text("" if "torch" in script else _INSTALL, "utf-8")
        removed = {name: value for name, value in os.environ.items() if not name.startswith(("STEPWELL_", "WANDB_"))}
        environment = {
            **removed,
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(installing)]),
            "STEPWELL_ENTITY": "me",
            "STEPWELL_MODE": "offline",
            "STEPWELL_SYSTEM_SECONDS": "0",
            "STEPWELL_CONSOLE": "off",
            # Their idle threads take the processors of the other tests.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, str(_SCRIPTS / script), str(path), *trainings]
        subprocess.run(command, env=environment, check=True, timeout=_SECONDS, capture_output=True)
        return path

    def find(training: str) -> Path:
        found = run_group(*next(group for group in _GROUPS if training in group[1])) / training
        error = found / "error.txt"
        assert not error.exists(), error.read_text("utf-8")
        return found

    return find


@pytest.fixture
def train(folder: Callable[[str], Path]) -> Train:
    """A function that returns the runs of a training, all of which have finished well."""

    def read(training: str) -> list[OfflineRun]:
        runs = read_offline_runs(folder(training))
        assert [run.exit_code for run in runs] == [0] * len(runs)
        return runs

    return read


def chosen(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return some entries of a mapping."""
    return {key: values[key] for key in keys}


def axes(run: OfflineRun) -> dict[str, Any]:
    """Return the step metric of each definition of a run."""
    return {name: metric["step_metric"] for name, metric in run.metrics.items()}


def summaries(run: OfflineRun) -> dict[str, Any]:
    """Return the summary of each definition of a run."""
    return {name: metric["summary"] for name, metric in run.metrics.items()}


def test_transformers(train: Train) -> None:
    (run,) = train("transformers")
    assert (run.path.rpartition("/")[0], run.started["display_name"]) == ("me/hf", "nice")
    assert chosen(run.config, "hidden_size", "learning_rate", "report_to", "model/num_parameters") == {
        "hidden_size": 8,
        "learning_rate": 0.25,
        "report_to": ["wandb"],
        "model/num_parameters": 1234,
    }
    assert axes(run) == {"train/global_step": None, "*": "train/global_step"}
    rate = {"train/learning_rate": 0.1}
    assert run.rows == {
        0: {"train/loss": 1.0, "train/epoch": 1 / 3, "train/global_step": 1, **rate},
        1: {"train/loss": 0.5, "train/epoch": 2 / 3, "train/global_step": 2, **rate},
        2: {"train/loss": 1 / 3, "train/epoch": 1.0, "train/global_step": 3, **rate},
        3: {"eval/loss": 0.5, "eval/runtime": 2.0, "train/global_step": 3},
        4: {"train/epoch": 1.0, "train/global_step": 3},
        5: {"test/loss": 0.125, "train/global_step": 3},
    }
    assert run.summary == {"train_runtime": 1.5, "train_loss": 0.75, "total_flos": 10.0}


def test_transformers_with_model_and_gradients_trains_on_and_says_where_files_are(
    train: Train, folder: Callable[[str], Path]
) -> None:
    (run,) = train("transformers_artifacts")
    assert run.column("train/loss") == [1.0]
    here = folder("transformers_artifacts")
    run_id = run.path.rpartition("/")[2]
    kept = here / "files" / run.path / "artifacts" / f"model-{run_id}"
    assert [path.name for path in kept.iterdir()] == ["model_architecture.txt"]
    notices = (here / "notices.txt").read_text("utf-8")
    assert [notices.count(text) for text in ("watch() has no effect", "log_artifact() has no effect", str(kept))] == [
        1
    ] * 3


@pytest.mark.long
def test_keras(train: Train, folder: Callable[[str], Path]) -> None:
    (run,) = train("keras")
    assert run.config == {"units": 1}
    assert axes(run) == {
        "epoch/epoch": None,
        "epoch/*": "epoch/epoch",
        "batch/batch_step": None,
        "batch/*": "batch/batch_step",
    }
    assert run.column("batch/batch_step") == [0, 2, 4, 6]
    assert run.column("batch/learning_rate") == [0.25, 0.125, 0.125, 0.125]
    assert run.column("epoch/epoch") == [0, 1]
    assert run.column("epoch/learning_rate") == [0.125, 0.125]
    for key in ("batch/loss", "batch/mae", "epoch/loss", "epoch/val_loss", "epoch/val_mae"):
        assert all(isinstance(value, float) for value in run.column(key)), key
    assert len(run.column("epoch/val_mae")) == 2
    tables = run.column("val_data") + run.column("eval_data")
    assert [(kind, table["rows"]) for kind, table in tables] == [("table", 2)] * 3
    assert tables[1][1]["columns"] == ["epoch", "index", "truth", "guess"]
    # The tables join the rows of metrics: they take no step of their own.
    assert sorted(run.rows) == list(range(6))
    assert {path.name for path in folder("keras").glob("*.keras")} == {"model-1.keras", "model-2.keras"}


def test_xgboost(train: Train, folder: Callable[[str], Path]) -> None:
    (run,) = train("xgboost")
    assert run.config["learner"]["learner_train_param"]["objective"] == "binary:logistic"
    assert summaries(run) == {"train-logloss": "min", "train-auc": "max", "valid-logloss": "min", "valid-auc": "max"}
    assert run.column("epoch") == [0, 1, 2, 3]
    losses = run.column("valid-logloss")
    assert (len(losses), losses) == (4, sorted(losses, reverse=True))
    assert [kind for kind, _ in run.column("Feature Importance")] == ["plotly"]
    assert (run.column("best_score"), run.column("best_iteration")) == ([max(run.column("valid-auc"))], [0])
    run_id = run.path.rpartition("/")[2]
    assert (folder("xgboost") / "files" / run.path / f"{run_id}_model.json").is_file()


def test_lightgbm(train: Train, folder: Callable[[str], Path]) -> None:
    run, folds = train("lightgbm")
    assert chosen(run.config, "objective", "metric") == {"objective": "binary", "metric": ["auc", "binary_logloss"]}
    assert summaries(run) == {"valid_auc": "max", "valid_binary_logloss": "min"}
    losses = run.column("valid_binary_logloss")
    assert (run.column("iteration"), losses) == ([0, 1, 2], sorted(losses, reverse=True))
    assert run.summary["best_score"]["valid"]["binary_logloss"] == losses[-1]
    assert [kind for kind, _ in run.column("Feature Importance")] == ["plotly"]
    assert (folder("lightgbm") / "files" / run.path / "model_ckpt_0.txt").is_file()
    assert folds.config == {}
    assert [len(folds.column(f"valid_auc-{part}")) for part in ("mean", "stdv")] == [2, 2]


def test_optuna(train: Train) -> None:
    study, *trials = train("optuna")
    assert (study.started["display_name"], study.config) == ("study", {"direction": ["MINIMIZE"]})
    assert {row["x"]: row["error"] for row in study.rows.values()} == {0: 4, 1: 1, 4: 4}
    for number, trial in enumerate(trials):
        x = trial.config["x"]
        assert trial.started["display_name"].startswith(f"trial/{number}/")
        assert (trial.started["tags"], trial.started["group"]) == (["t", "s"], "g")
        # The callback asks for the trial's number as its step; that step of the first trial has passed.
        assert trial.rows == {0: {"halfway": number}, 1: {"x": x, "error": (x - 2) ** 2, "trial_number": number}}


def test_omegaconf(train: Train) -> None:
    container, plain = train("omegaconf")
    assert container.config == {"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.99]}, "rate": 0.1}
    assert chosen(plain.config, "lr", "rate") == {"lr": 0.1, "rate": 0.1}
    assert plain.config["optimizer"]["name"] == "adam"


def test_accelerate(train: Train) -> None:
    (run,) = train("accelerate")
    assert run.path.rpartition("/")[0] == "me/accelerate"
    assert (run.started["tags"], run.started["group"], run.config) == (["a"], "g", {"lr": 0.1, "layers": 2})
    assert (run.rows[0], sorted(run.rows)) == ({"loss": 1.0}, [0, 5, 6])
    assert chosen(run.rows[5], "loss", "nested.acc") == {"loss": 0.5, "nested.acc": 0.75}
    kind, images = run.rows[5]["images"]
    assert (kind, len(images["items"])) == ("image", 2)
    kind, table = run.rows[6]["table"]
    assert (kind, table["columns"]) == ("table", ["a", "b"])


def test_lightning(train: Train) -> None:
    (run,) = train("lightning")
    assert (run.path.rpartition("/")[0], run.started["display_name"]) == ("me/lightning", "nice")
    assert run.started["tags"] == ["t"]
    assert run.config == {"lr": 0.1, "model": {"layers": 2}, "relu": "max", "more": 1}
    assert axes(run) == {"trainer/global_step": None, "*": "trainer/global_step"}
    assert run.rows[0] == {"p-loss": 1.0, "trainer/global_step": 0}
    assert run.rows[1] == {"p-loss": 1 / 51, "trainer/global_step": 50}
    assert (run.rows[2]["p-images"][0], run.rows[2]["p-images"][1]["items"][0]["caption"]) == ("image", "c")
    assert run.rows[3]["p-table"][0] == "table"


def test_lightning_with_checkpoints_trains_on(train: Train) -> None:
    (run,) = train("lightning_checkpoints")
    assert run.column("loss") == [1.0]


def test_stable_baselines3(train: Train, folder: Callable[[str], Path]) -> None:
    (run,) = train("sb3")
    assert run.config == {"algo": "Algorithm", "batch_size": 64, "gamma": 0.99, "num_timesteps": 0}
    assert axes(run)["rollout/*"] == "global_step"
    assert run.rows == {
        0: {"rollout/ep_rew_mean": 2.5, "time/fps": 100, "global_step": 10},
        1: {"rollout/ep_rew_mean": 5.0, "time/fps": 100, "global_step": 20},
    }
    assert (folder("sb3") / "models" / "model.zip").read_bytes() == b"x"
