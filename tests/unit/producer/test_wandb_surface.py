"""Names, arguments and methods compared with the installed wandb: each missing one has a stated reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import wandb

import stepwell
from stepwell import as_wandb, wandb_compat
from stepwell.session.alerts import Alerts
from support.paths import ROOT
from support.readers.journals import journal_bytes

DOCUMENT: Final = ROOT / "docs" / "values.md"

_WRITING: Final = "how wandb writes it into its own files"
_READING: Final = "how wandb reads it from its own artifacts"
_LISTS: Final = "what wandb calls for a list of them"
_INTERNAL: Final = {
    "bind_to_run": _WRITING,
    "to_json": _WRITING,
    "to_data_array": _WRITING,
    "get_media_subdir": _WRITING,
    "file_is_set": _WRITING,
    "is_bound": _WRITING,
    "path_is_reference": _WRITING,
    "type_mapping": _WRITING,
    "with_suffix": _WRITING,
    "encode": _WRITING,
    "inject_head": _WRITING,
    "guess_mode": _WRITING,
    "make_plot_media": _WRITING,
    "get_type": _WRITING,
    "MAX_ROWS": "limits of wandb's page",
    "MAX_ARTIFACT_ROWS": "limits of wandb's page",
    "MAX_ITEMS": "limits of wandb's page",
    "MAX_DIMENSION": "limits of wandb's page",
    "EXTS": "the error lists the formats",
    "SUPPORTED_TYPES": "the error lists the formats",
    "SUPPORTED_RDKIT_TYPES": "the error lists the formats",
    "SUPPORTED_POINT_CLOUD_TYPES": "the error lists the formats",
    "from_json": _READING,
    "init_from_json": _READING,
    "resolve_ref": _READING,
    "seq_to_json": _LISTS,
    "captions": _LISTS,
    "all_captions": _LISTS,
    "all_boxes": _LISTS,
    "all_masks": _LISTS,
    "durations": _LISTS,
    "sample_rates": _LISTS,
}
"""Public names of wandb's data types that are internal to wandb, each with the reason."""

_RUN_LESS: Final = {
    "config_static": "a copy: run.config.as_dict()",
    "sync_dir": "wandb's own folder: run.journal_path is the journal",
}
_SDK: Final = "a package of wandb's own"
_MODULE_LESS: Final = {
    **dict.fromkeys(
        ("agents", "analytics", "annotations", "docker", "helper", "jupyter", "patched", "profiler", "proto"),
        _SDK,
    ),
    **dict.fromkeys(("wandb", "wandb_agent", "wandb_lib", "wandb_sdk", "wandb_torch", "sagemaker_auth"), _SDK),
    **dict.fromkeys(("trigger", "termsetup"), "called by wandb's own modules"),
}


def public(value: Any) -> list[str]:
    """Return an object's public names."""
    return [name for name in dir(value) if not name.startswith("_")]


def parameters(function: Any) -> list[str]:
    """Return the names of a function's arguments."""
    found = inspect.signature(function).parameters.values()
    named = (one.name for one in found if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL})
    return [name for name in named if name != "self"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[stepwell.Run]:
    settings = {"quiet": True, "console": "auto"}
    with stepwell.init(id="run", mode="offline", dir=tmp_path, settings=settings) as started:
        yield started


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_compat, "_notified", set())


DATA_TYPES: Final = [
    "Audio", "Classes", "Histogram", "Html", "Image", "Molecule", "Object3D", "Plotly", "Table", "Video",
]  # fmt: skip


@pytest.mark.parametrize("name", DATA_TYPES)
def test_a_data_type_has_wandb_s_arguments_and_methods(name: str) -> None:
    theirs, ours = getattr(wandb, name), getattr(stepwell, name)
    assert parameters(ours.__init__)[: len(parameters(theirs.__init__))] == parameters(theirs.__init__)
    missing = [one for one in public(theirs) if not hasattr(ours, one)]
    assert [one for one in missing if one not in _INTERNAL] == []
    for method in set(public(theirs)) - set(missing):
        if callable(getattr(theirs, method)):
            assert parameters(getattr(ours, method)) == parameters(getattr(theirs, method)), method


def test_no_reason_outlives_what_it_is_for() -> None:
    theirs = {one for name in DATA_TYPES for one in public(getattr(wandb, name))}
    assert set(_INTERNAL) <= theirs
    assert set(_RUN_LESS) <= set(public(wandb.Run))
    assert not [name for name in _INTERNAL if all(hasattr(getattr(stepwell, one), name) for one in DATA_TYPES)]


@pytest.mark.parametrize(
    "name", [one for one in public(wandb.plot) if inspect.isfunction(getattr(wandb.plot, one)) and one != "plot_table"]
)
def test_a_chart_has_wandb_s_arguments(name: str) -> None:
    if name == "visualize":
        return
    assert parameters(getattr(stepwell.plot, name)) == parameters(getattr(wandb.plot, name))


def test_a_run_has_wandb_s_calls(run: stepwell.Run) -> None:
    stands_in = wandb_compat.SKIPPED.keys() | wandb_compat.REFUSED.keys()
    for name in set(public(wandb.Run)) - stands_in - _RUN_LESS.keys():
        theirs = inspect.getattr_static(wandb.Run, name)
        assert hasattr(run, name), name
        if inspect.isfunction(theirs):
            ours = parameters(getattr(stepwell.Run, name))
            assert ours[: len(parameters(theirs))] == parameters(theirs), name


def test_the_package_has_wandb_s_names() -> None:
    # Callbacks for libraries, whose imports take seconds: the tests of frameworks use them.
    absent = wandb_compat.ABSENT.keys() | _MODULE_LESS.keys() | as_wandb.SHORT.keys()
    assert [name for name in public(wandb) if name not in absent and not hasattr(stepwell, name)] == []
    for name in ("init", "log", "finish", "define_metric", "box3d", "termlog", "alert"):
        theirs = parameters(getattr(wandb, name))
        assert [one for one in theirs if one not in parameters(getattr(stepwell, name))] == []
    for name in wandb_compat.ABSENT:
        with pytest.raises(AttributeError, match=f"no attribute '{name}': "):
            getattr(stepwell, name)
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        stepwell.nonsense  # noqa: B018
    for name in stepwell.__all__:
        getattr(stepwell, name)


@pytest.mark.parametrize("name", wandb_compat.SKIPPED)
def test_a_call_without_effect_is_reported_once(
    name: str, run: stepwell.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    remark, result = wandb_compat.SKIPPED[name]
    for owner in (run, stepwell, run):
        assert getattr(owner, name)("a", b=1) == result
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == bool(remark)
    assert all(line.startswith(f"stepwell: {name}() ") and line.endswith(f": {remark}") for line in lines)


@pytest.mark.parametrize("name", wandb_compat.REFUSED)
def test_a_call_that_cannot_be_followed_names_the_remedy(name: str, run: stepwell.Run) -> None:
    for owner in (run, stepwell):
        with pytest.raises(stepwell.UnsupportedError, match=re.escape(wandb_compat.REFUSED[name])):
            getattr(owner, name)("a", b=1)


def test_each_of_them_is_documented() -> None:
    text = DOCUMENT.read_text("utf-8")
    names = [*wandb_compat.SKIPPED, *wandb_compat.REFUSED, *wandb_compat.ABSENT, *wandb_compat.ARGUMENTS]
    names += [*wandb_compat.REFUSED_ARGUMENTS, *_RUN_LESS]
    assert [name for name in names if f"`{name}`" not in text] == []
    for name, ours in wandb_compat.VARIABLES.items():
        assert f"`{name}`" in text, name
        assert ours in text, ours


def test_arguments_of_init_without_effect_are_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stepwell.init(mode="disabled", sync_tensorboard=True, monitor_gym=True, save_code=True).finish()
    err = capfd.readouterr().err
    reported = [f"stepwell: {name} " in err for name in wandb_compat.ARGUMENTS]
    assert reported == [True, False, True, True]
    for name in ("resume_from", "fork_from"):
        arguments: dict[str, Any] = {"mode": "disabled", name: "run?_step=1"}
        with pytest.raises(stepwell.UnsupportedError, match=f"{name} .* resume='must'"):
            stepwell.init(**arguments)
        with pytest.raises(stepwell.Error, match=f"{name} .* resume='must'"):
            stepwell.Settings(**{name: "run?_step=1"})


def test_wandb_variables_are_reported_unless_ours_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("STEPWELL_MODE", "offline")
    for _ in range(2):
        stepwell.init(dir=tmp_path, settings={"quiet": True}).finish(quiet=True)
    (line,) = capfd.readouterr().err.splitlines()
    assert ("WANDB_PROJECT" in line, line.endswith(" STEPWELL_PROJECT")) == (True, True)


def test_wandb_settings_are_accepted_and_misspelled_ones_rejected(capfd: pytest.CaptureFixture[str]) -> None:
    taken = stepwell.Settings(silent=True, root_dir="here", _disable_stats=True, init_timeout=300, x_label="rank0")
    assert (taken.quiet, taken.dir, taken.system_seconds) == (True, Path("here"), 0.0)
    (line,) = capfd.readouterr().err.splitlines()
    assert "init_timeout" in line
    for settings, words in (
        ({"sytem_seconds": 5}, r"'sytem_seconds'.* system_seconds\?"),
        ({"run_name": "x"}, r"run_name .* init\(name=…\)"),
        ({"mode": "onlin"}, "mode .STEPWELL_MODE.: .*'online'"),
    ):
        with pytest.raises(stepwell.Error, match=words):
            stepwell.Settings(**settings)
        with pytest.raises(stepwell.Error, match=words):
            stepwell.init(settings=settings)


@pytest.mark.parametrize("name", ["config", "summary"])
def test_access_before_init_raises(name: str) -> None:
    before = getattr(stepwell, name)
    with pytest.raises(stepwell.UsageError, match=rf"call stepwell.init\(\) before stepwell.{name}.lr"):
        before.lr  # noqa: B018
    with pytest.raises(stepwell.UsageError, match=rf"before stepwell.{name}.lr"):
        before.lr = 1
    with pytest.raises(stepwell.UsageError, match=rf"before stepwell.{name}\['lr'\]"):
        before["lr"]
    with pytest.raises(stepwell.UsageError, match=rf"before stepwell.{name}\['lr'\]"):
        before["lr"] = 1


@pytest.mark.parametrize("config", ["config.yaml", 3, [1, 2]])
def test_a_config_that_is_none_is_named(config: Any) -> None:
    with pytest.raises(TypeError, match=r"^config .*must be a dict, a configuration object or pairs"):
        stepwell.init(config=config, mode="disabled")


def test_a_run_has_a_folder_of_its_own(run: stepwell.Run, tmp_path: Path) -> None:
    assert Path(run.dir) == tmp_path / "files" / run.entity / run.project / "run"
    (Path(run.dir) / "model.pt").write_bytes(b"x")
    with stepwell.init(mode="disabled", reinit="create_new") as nothing:
        assert list(Path(nothing.dir).iterdir()) == []
    assert (run.sweep_id, run.sweep_url, run.settings.console) == (None, None, "auto")


def test_an_alert_is_printed_and_recorded(run: stepwell.Run, capfd: pytest.CaptureFixture[str]) -> None:
    run.alert("loss", "is NaN", level=stepwell.AlertLevel.ERROR)
    stepwell.alert("loss", "is NaN still")
    run.write_logs("written")
    assert capfd.readouterr().err == "stepwell: run: ERROR: loss: is NaN\n"
    with pytest.raises(ValueError, match="level 'LOUD': must be one of INFO, WARN, ERROR"):
        run.alert("x", level="LOUD")
    run.finish(quiet=True)
    (journal,) = (path for path in Path(run.journal_path).parent.iterdir() if str(path) != run.journal_path)
    content = journal_bytes(journal)
    assert (b"ERROR: loss: is NaN" in content, b"written" in content, b"still" in content) == (True, True, False)


def test_alerts_of_a_title_wait() -> None:
    alerts = Alerts()

    def line(now: float, title: str = "t", wait: Any = None) -> str:
        return alerts.line(now, title, "", "WARN", wait)

    assert [line(0), line(59), line(59, "other"), line(60)] == ["WARN: t", "", "WARN: other", "WARN: t"]
    assert [line(61, wait=1), line(62, wait=timedelta(seconds=2)), line(63, wait=timedelta(seconds=2))] == [
        "WARN: t", "", "WARN: t"
    ]  # fmt: skip
    with pytest.raises(TypeError, match="wait_duration 'long'"):
        line(99, wait="long")


def test_a_box_is_wandb_s_where_wandb_minds_the_signs() -> None:
    arguments: dict[str, Any] = {
        "center": [1, 2, 3],
        "size": (1, 2, 4),
        "orientation": [1, 2, 3, 4.5],
        "color": (255, 0, 0),
    }
    theirs = wandb.box3d(**arguments, label="b", score=0.5)
    ours = stepwell.box3d(**arguments, label="b", score=0.5)
    np.testing.assert_allclose(ours.pop("corners"), np.array(theirs["corners"]))
    assert ours == {"label": "b", "color": (255, 0, 0), "score": 0.5}

    def corners(*orientation: float) -> Any:
        return stepwell.box3d(center=[0, 0, 0], size=[1, 2, 4], orientation=orientation, color=(0, 0, 0))["corners"]

    # A quarter turn around x maps y to z, and z to -y; wandb loses the sign of a turn in the other direction.
    plain = np.array(corners(1, 0, 0, 0))
    np.testing.assert_allclose(corners(1, 1, 0, 0), plain[:, [0, 2, 1]] * [1, -1, 1], atol=1e-12)
    np.testing.assert_allclose(corners(1, -1, 0, 0), plain[:, [0, 2, 1]] * [1, 1, -1], atol=1e-12)
    for wrong, words in (
        ({"center": [1, 2]}, r"center has shape \[2\]: must be \[3\]"),
        ({"orientation": [0, 0, 0, 0]}, r"orientation \[0.0, 0.0, 0.0, 0.0\]"),
    ):
        with pytest.raises(ValueError, match=words):
            stepwell.box3d(**{**arguments, **wrong})


def test_earlier_names_of_a_run(run: stepwell.Run) -> None:
    assert (run.get_url(), run.get_project_url(), run.get_sweep_url()) == (run.url, run.project_url, None)
    assert run.project_name() == run.project
    with pytest.raises(AttributeError, match=r"no attribute '_telemetry': it is internal to wandb"):
        run._telemetry  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        run.nonsense  # type: ignore[attr-defined]  # noqa: B018
