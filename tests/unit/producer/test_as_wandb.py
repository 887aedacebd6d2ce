"""Stepwell in place of wandb: modules, versions, variables, and the names that libraries reach into."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import wandb as real_wandb

import stepwell
from stepwell import as_wandb, wandb_compat
from stepwell.session.run_disabled import RunDisabled
from stepwell.wandb_variables import READ, read_variables
from support.fakes.keeping import taken
from support.readers.offline_runs import read_offline_runs


@pytest.fixture(params=["module", "installed"])
def wandb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Stepwell as the module `wandb`, in both ways."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(wandb_compat, "_notified", set())
    if request.param == "module":
        sys.modules["wandb"] = stepwell
    else:
        stepwell.install_as_wandb()
    yield sys.modules["wandb"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        del sys.modules[name]


def test_modules_of_wandb_are_stepwells_own(wandb: ModuleType) -> None:
    for name in as_wandb.NAMES:
        module = import_module(f"wandb.{name}")
        assert module is import_module(f"stepwell.{name}")
        for attribute in module.__all__:
            assert getattr(module, attribute) is not None
    assert import_module("wandb.errors").CommError is stepwell.CommError
    assert import_module("wandb.plot") is stepwell.plot
    assert wandb.sdk.wandb_run.Run is stepwell.Run
    assert isinstance(wandb.Image(np.zeros((1, 1))), wandb.sdk.data_types.base_types.wb_value.WBValue)
    assert issubclass(wandb.sdk.lib.config_util.ConfigError, wandb.Error)
    with pytest.raises(AttributeError, match="'nonsense'"):
        wandb.sdk.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wandb.session", "Stepwell, which stands in for wandb$"),
        ("wandb.sklearn", r"call log\(\)"),
        ("wandb.integration.tensorboard", "TensorBoard events are not read"),
    ],
)
def test_other_modules_of_wandb_name_the_alternative(wandb: ModuleType, name: str, words: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=words):
        import_module(name)


def test_libraries_that_look_for_wandb_find_it(wandb: ModuleType) -> None:
    assert importlib.util.find_spec("wandb") is not None
    assert importlib.metadata.metadata("wandb")["Name"] == "wandb"
    assert importlib.metadata.version("wandb") == as_wandb.WANDB_VERSION == real_wandb.__version__
    installed = wandb is not stepwell
    assert wandb.__version__ == (as_wandb.WANDB_VERSION if installed else stepwell.__version__)


def test_wandb_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not as_wandb.stands_in()
    assert import_module("wandb.errors").CommError is not stepwell.CommError
    with pytest.raises(stepwell.UsageError, match="wandb is imported already"):
        stepwell.install_as_wandb()
    # A file `wandb.py` that installs Stepwell is the module `wandb` while it does so.
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    assert stepwell.install_as_wandb() is stepwell.install_as_wandb() is sys.modules["wandb"]


def test_variables_are_wandbs_words() -> None:
    assert set(wandb_compat.VARIABLES) - READ == {"WANDB_BASE_URL"}
    arguments, settings = read_variables(
        {
            "WANDB_DIR": "/d",
            "WANDB_DISABLE_GIT": "true",
            "WANDB_ENTITY": "e",
            "WANDB_JOB_TYPE": "j",
            "WANDB_MODE": "dryrun",
            "WANDB_NAME": "n",
            "WANDB_NOTES": "",
            "WANDB_PROJECT": "p",
            "WANDB_RESUME": "true",
            "WANDB_RUN_GROUP": "g",
            "WANDB_RUN_ID": "i",
            "WANDB_SILENT": "false",
            "WANDB_TAGS": "a, b,",
        }
    )
    assert arguments == {"job_type": "j", "name": "n", "resume": True, "group": "g", "tags": ("a", "b")}
    assert settings == {
        "dir": Path("/d"), "git": False, "entity": "e", "mode": "offline", "project": "p", "run_id": "i"
    }  # fmt: skip
    assert read_variables({"WANDB_DISABLED": "1", "WANDB_MODE": "online"}).settings == {"mode": "disabled"}
    with pytest.raises(stepwell.Error, match="WANDB_MODE 'on'"):
        read_variables({"WANDB_MODE": "on"})


def test_variables_yield_to_arguments_and_to_stepwells(
    wandb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("PROJECT", "NAME", "ENTITY", "RUN_GROUP", "TAGS"):
        monkeypatch.setenv(f"WANDB_{name}", "theirs")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("STEPWELL_ENTITY", "ours")
    with wandb.init(project="given", name="given", settings={"quiet": True}) as run:
        assert (run.entity, run.project, run.name, run.group, run.tags) == (
            "ours", "given", "given", "theirs", ("theirs",)
        )  # fmt: skip
        assert (run.offline, run.settings.dir) == (True, tmp_path)
    assert "WANDB_" not in capfd.readouterr().err


def test_artifacts_are_accepted_and_not_sent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    artifact = stepwell.Artifact("run_model", type="model", metadata={"acc": 1})
    with pytest.raises(stepwell.UsageError, match=r"init\(\)"), artifact.new_file("a"):
        pass
    file = tmp_path / "best.pt"
    file.write_bytes(b"x")
    artifact.add_file(file, name="model.ckpt", policy="immutable")
    artifact.add_dir(str(tmp_path))
    with pytest.raises(ValueError, match=r"no\.pt' is not a file"):
        artifact.add_file(tmp_path / "no.pt")
    with stepwell.init(id="run", mode="offline", dir=tmp_path, settings={"quiet": True}) as run:
        with artifact.new_file("config/a.txt", mode="w") as opened:
            opened.write("kept")
        with pytest.raises(ValueError, match="has a file"), artifact.new_file("config/a.txt"):
            pass
        with pytest.raises(ValueError, match="outside"), artifact.new_file("../a.txt"):
            pass
        assert run.log_artifact(artifact, aliases=["best"]).wait() is artifact
        assert (artifact.aliases, artifact.metadata) == (["best"], {"acc": 1})
        assert stepwell.log_artifact(file, type="model").name == "best.pt"
        assert (Path(run.dir) / "artifacts" / "run_model" / "config" / "a.txt").read_text("utf-8") == "kept"
        with pytest.raises(stepwell.UnsupportedError, match=r"stored nowhere: .*log\(\)"):
            artifact.add(stepwell.Table(columns=["a"]), "table")
        with pytest.raises(AttributeError, match=r"'download'.*artifacts are not stored"):
            artifact.download()
    err = capfd.readouterr().err
    assert (err.count("log_artifact() has no effect"), err.count("are kept in")) == (1, 1)


def test_a_predefined_chart_is_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = stepwell.Table(
        columns=["class", "y", "x"], data=[["mean", 0.5, 0.0], ["cat", 0.25, 0.0], ["cat", 1.0, 1.0]]
    )
    fields = {"x": "x", "y": "y", "class": "class"}
    texts = {"title": "PR", "x-axis-title": "Recall", "y-axis-title": "Precision"}
    chart = stepwell.plot_table("wandb/area-under-curve/v0", table, fields, texts)
    assert isinstance(chart, stepwell.Plotly)
    figure = json.loads(taken(chart)[1])
    assert [trace["name"] for trace in figure["data"]] == ["mean", "cat"]
    assert [figure["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")] == ["Recall", "Precision"]
    for spec, columns in (
        ("line", {"x": "x", "y": "y", "stroke": "class"}),
        ("lineseries", {"step": "x", "lineKey": "class", "lineVal": "y"}),
        ("scatter", {"x": "x", "y": "y"}),
        ("bar", {"label": "class", "value": "y"}),
        ("histogram", {"value": "y"}),
    ):
        assert isinstance(stepwell.plot.plot_table(f"wandb/{spec}/v0", table, columns), stepwell.Plotly)
    assert stepwell.plot_table("me/radar", table, fields) is table
    assert "Vega chart me/radar" in capfd.readouterr().err


def test_a_notice_that_is_not_repeated_is_printed_once(wandb: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        wandb.termwarn("once", repeat=False)
        wandb.termlog("twice")
    assert capfd.readouterr().err.splitlines() == ["stepwell: once", "stepwell: twice", "stepwell: twice"]


def test_what_ultralytics_calls(tmp_path: Path) -> None:
    best = tmp_path / "best.pt"
    best.write_bytes(b"x")
    arguments = {"epochs": 2, "data": "coco8.yaml", "save_dir": tmp_path}
    run = stepwell.init(
        project="Ultralytics",
        name="train",
        config=arguments,
        id="train_1",
        resume=None,
        dir=str(tmp_path),
        mode="offline",
    )
    run.config["epochs"] = 3
    run.define_metric("train/*", step_metric="epoch")
    run.config.setdefaults(arguments)
    for epoch in (1, 2):
        run.log({"train/box_loss": 1 / epoch, "epoch": epoch}, commit=False)
        run.log({"lr/pg0": 0.1}, commit=False)
        run.log({"metrics/mAP50(B)": 0.5, "epoch": epoch}, commit=True)
    artifact = stepwell.Artifact(type="model", name=f"run_{run.id}_model")
    artifact.add_file(best)
    run.log_artifact(artifact, aliases=["best"])
    stepwell.finish()
    stepwell.finish(exit_code=1)
    (stored,) = read_offline_runs(tmp_path)
    assert (stored.config["epochs"], stored.config["data"], stored.exit_code) == (3, "coco8.yaml", 0)
    assert stored.column("epoch") == [1, 2]
    assert [sorted(row) for row in stored.rows.values()] == [
        ["epoch", "lr/pg0", "metrics/mAP50(B)", "train/box_loss"]
    ] * 2


def test_what_ray_calls(wandb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.ensure_configured()
    assert wandb.api.api_key
    monkeypatch.setenv("STEPWELL_API_KEY", "secret")
    assert wandb.api.api_key == "secret"
    dumps = import_module("wandb.util").json_dumps_safer
    assert dumps({"a": np.float32(0.5), "b": Path("x")}) == '{"a": 0.5, "b": "x"}'
    disabled = RunDisabled()
    assert disabled.log({"a": 1}) is disabled.finish() is None
    run = wandb.init(
        id="trial", name="t", reinit=True, allow_val_change=True, mode="offline", dir=tmp_path,
        config={"lr": 1}, group=None,
    )  # fmt: skip
    assert isinstance(run, import_module("wandb.wandb_run").Run)
    run.config.trial_log_path = "logs"
    wandb.config.update({"lr": 2}, allow_val_change=True)
    wandb.log({"training_iteration": 1, "perf/cpu": np.float64(2.0)})
    wandb.finish()
    (stored,) = read_offline_runs(tmp_path)
    assert (stored.config, stored.rows) == (
        {"lr": 2, "trial_log_path": "logs"},
        {0: {"training_iteration": 1, "perf/cpu": 2.0}},
    )
