"""The SDK's surface: values, steps, summary, config, and the cost of the import."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.recording.cells import build_cells
from stepwell.values.convert import to_cell
from stepwell_schemas.limits import TEXT_MAX_BYTES


def _keep(data: bytes, content_type: str) -> str:
    raise AssertionError("no media are logged here")


class _Color(Enum):
    RED = "red"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[stepwell.Run]:
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings={"quiet": True}) as started:
        yield started


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (True, ("bool", True)),
        (np.True_, ("bool", True)),
        (2**70 + 1, ("number", 2**70 + 1)),
        (np.float32(0.5), ("number", 0.5)),
        (np.array([3]), ("number", 3)),
        (Decimal(9007199254740993), ("number", 2**53 + 1)),
        (Fraction(1, 4), ("number", 0.25)),
        (timedelta(minutes=1), ("number", 60.0)),
        ("text", ("string", "text")),
        (datetime(2026, 1, 2, tzinfo=UTC), ("string", "2026-01-02T00:00:00+00:00")),
        (_Color.RED, ("string", "red")),
        (None, ("other", "null")),
        ([1, float("nan"), "é"], ("other", '[1, "NaN", "é"]')),
        (np.array([[1, 2]]), ("other", '{"_type": "array", "dtype": "int64", "shape": [1, 2], "values": [[1, 2]]}')),
        (1 + 2j, ("other", "[1.0, 2.0]")),
        (deque([1, 2], maxlen=2), ("other", "[1, 2]")),
        (Path("a/b"), ("string", "a/b")),
    ],
)
def test_each_value_has_a_documented_outcome(value: Any, cell: tuple[str, Any]) -> None:
    assert to_cell(value) == cell


def test_what_cannot_be_stored_is_refused_and_the_rest_kept() -> None:
    refused: list[str] = []
    data = {"ok": 1, "object": object(), "": 1, "k" * 2000: 1, "long": "x" * (TEXT_MAX_BYTES + 1), "lone": "\ud800"}
    cells = build_cells(data, lambda key, kind, rule: refused.append(key), _keep)
    assert cells == {"ok": ("number", 1)}
    assert refused == ["object", "", "k" * 2000, "long", "lone"]


def test_nested_dicts_and_other_keys_become_text_keys() -> None:
    assert list(build_cells({"a": {"b": 1, 2: {"c": 3}}, True: 4}, lambda *_: None, _keep)) == ["a.b", "a.2.c", "True"]


def test_values_are_taken_at_the_call(run: stepwell.Run) -> None:
    values = [1]
    array = np.array(1.5)
    run.log({"list": values, "array": array})
    values.append(2)
    array[...] = 9
    assert dict(run.summary) == {"list": [1], "array": 1.5}


@pytest.mark.parametrize("nanoseconds", [-1_000_000, 2**53 * 1_000 + 1_000])
def test_a_clock_that_no_event_may_name_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], nanoseconds: int
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: nanoseconds)
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings={"quiet": True, "console": "off"}):
        pass
    assert capfd.readouterr().err.count("clock") == 1


def test_steps_follow_the_rule(run: stepwell.Run) -> None:
    steps = []
    for step, commit in [(None, None), (None, False), (5, None), (5, None), (None, None), (3, None), (9, True)]:
        run.log({"a": 1}, step=step, commit=commit)
        steps.append(run.step)
    assert steps == [1, 1, 5, 5, 6, 7, 10]
    assert run.finish().conflicts == 1


def test_bad_calls_are_errors(run: stepwell.Run) -> None:
    with pytest.raises(TypeError, match="dict"):
        run.log([1])  # type: ignore[arg-type]
    with pytest.raises(stepwell.StepError):
        run.log({"a": 1}, step=1.5)  # type: ignore[arg-type]
    with pytest.raises(stepwell.IdentifierError, match="project"):
        stepwell.init(project="a/b", mode="disabled")


def test_conflicts_and_spellings_are_reported_once(run: stepwell.Run, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        run.log({"Loss": 1, "loss": 2}, step=-1)
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if "step_conflicts" in line]) == 1
    assert len([line for line in lines if "'Loss'" in line]) == 1


def test_summary_is_the_last_value_or_as_defined(run: stepwell.Run) -> None:
    run.define_metric("acc", summary="max,mean")
    for value in (0.5, 1.0, 0.0):
        run.log({"acc": value, "loss": value})
    run.summary["note"] = "mine"
    assert dict(run.summary) == {"acc": {"max": 1.0, "mean": 0.5}, "loss": 0.0, "note": "mine"}


def test_config_by_attribute_and_item(run: stepwell.Run) -> None:
    run.config.lr = 0.1
    run.config.update({"depth": 3})
    run.config.setdefaults({"lr": 9, "width": 2})
    assert (run.config["lr"], run.config.depth, run.config.as_dict()) == (0.1, 3, {"lr": 0.1, "depth": 3, "width": 2})


def test_a_disabled_run_waits_for_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with stepwell.init(mode="disabled") as run:
        run.log({"loss": 1.0, "nested": {"a": [1]}})
    receipt = run.finish()
    assert (receipt.logged, receipt.pending, receipt.blocked, receipt.journal) == (1, 0, "", None)
    assert str(receipt).endswith("stored: nothing, since the run is disabled")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"reinit": "again"}, "reinit 'again': must be"), ({"settings": 5}, "settings must be .* int")],
)
def test_an_argument_that_means_nothing_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((stepwell.Error, TypeError), match=words):
        stepwell.init(mode="disabled", **arguments)


def test_a_second_init_finishes_or_returns_the_earlier_run(run: stepwell.Run, tmp_path: Path) -> None:
    assert stepwell.init(mode="offline", dir=tmp_path, reinit="return_previous") is run
    with stepwell.init(mode="disabled") as second:
        assert run.finished
        assert stepwell.run is second
    assert stepwell.run is None
    with pytest.raises(stepwell.Error, match="init"):
        stepwell.log({"a": 1})


def test_importing_is_light() -> None:
    heavy = (
        "{'numpy', 'pydantic', 'aiokafka', 'httpx', 'psutil', 'traceback', 'PIL', 'matplotlib', 'plotly', 'bokeh',"
        " 'imageio_ffmpeg'}"
    )
    script = f"import sys, stepwell; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_numbers_and_texts_need_no_media_library(tmp_path: Path) -> None:
    script = f"""
import sys
absent = ("PIL", "pyarrow", "matplotlib", "plotly", "bokeh", "pandas", "imageio_ffmpeg", "soundfile", "rdkit")
sys.modules.update(dict.fromkeys(absent))
import numpy, stepwell
run = stepwell.init(mode="offline", dir={str(tmp_path)!r}, settings={{"quiet": True}})
run.log({{"loss": 1.0, "text": "x", "ok": True, "none": None, "list": [1], "array": numpy.zeros(3), "a": {{"b": 1}}}})
run.define_metric("loss", summary="min")
assert run.finish().rejected == 0
print(sorted(name for name in sys.modules if name.startswith("stepwell.media.")))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    light = ["adapters", "base", "detect", "journal_files", "references"]
    assert found.stdout.strip() == str([f"stepwell.media.{name}" for name in light])
