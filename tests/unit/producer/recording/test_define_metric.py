"""`define_metric`: effects of a definition on rows and on `run.summary`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch, RunUpdated
from support.readers.journals import encode_journal


@pytest.fixture
def run(tmp_path: Path) -> Iterator[stepwell.Run]:
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings={"quiet": True}) as started:
        yield started


def events(run: stepwell.Run) -> list[Any]:
    """Return the events of a finished run's journal."""
    run.finish()
    return [decode(sent.payload) for sent in encode_journal(run.journal_path)]


def logged(run: stepwell.Run) -> dict[str, list[float]]:
    """Return the numbers of a run by key, in the order of rows."""
    found: dict[str, list[float]] = {}
    for event in events(run):
        for block in event.blocks if isinstance(event, LogBatch) else ():
            columns = np.frombuffer(block.packed).reshape(len(block.keys), -1)
            for key, column in zip(block.keys, columns.tolist(), strict=True):
                found.setdefault(key, []).extend(column)
    return found


def definitions(run: stepwell.Run) -> list[dict[str, Any]]:
    """Return the definitions that a run sent."""
    found = [event.metrics for event in events(run) if isinstance(event, RunUpdated)]
    return [metric.model_dump() for metrics in found for metric in metrics]


@pytest.mark.parametrize("text", [{}, {"note": "slow"}], ids=["packed", "slow"])
def test_a_row_that_lacks_its_step_metric_gets_the_newest_value(run: stepwell.Run, text: dict[str, str]) -> None:
    run.define_metric("epoch")
    run.define_metric("val/*", step_metric="epoch")
    run.log({"val/loss": 9, **text})
    run.log({"Epoch": 1, "loss": 5, **text})
    run.log({"val/loss": 3, **text})
    run.log({"val/loss": 2, "epoch": 4, **text})
    run.log({"val/loss": 1, **text})
    run.log({"loss": 1, **text})
    found = logged(run)
    assert found["val/loss"] == [9, 3, 2, 1]
    assert found["Epoch"] + found["epoch"] == [1, 1, 4, 4]


def test_step_sync_false_leaves_rows_alone(run: stepwell.Run) -> None:
    run.define_metric("loss", step_metric="epoch", step_sync=False)
    run.log({"epoch": 1})
    run.log({"loss": 3})
    assert logged(run)["epoch"] == [1]


def test_what_a_later_call_leaves_out_stays_unless_it_overwrites(run: stepwell.Run) -> None:
    run.define_metric("loss", step_metric="epoch", summary="min,max", goal="minimize")
    run.define_metric("loss", hidden=True)
    run.define_metric("loss", summary="Mean", overwrite=True)
    first, second, third = definitions(run)
    assert second == {**first, "hidden": True}
    assert (third["step_metric"], third["summary"], third["goal"], third["hidden"]) == (None, "mean", None, False)


def test_figures_of_several_calls_add_up(run: stepwell.Run) -> None:
    run.define_metric("loss", summary="min")
    run.define_metric("Loss", summary="max")
    run.define_metric("acc", summary="max")
    run.define_metric("acc", summary="copy")
    run.define_metric("gone", summary="none")
    run.define_metric("gone", summary="last")
    for value in (2, 1, 3):
        run.log({"loss": value, "acc": value, "gone": value})
    assert dict(run.summary) == {"loss": {"min": 1, "max": 3}, "acc": 3, "gone": {"last": 3}}
    assert [each["summary"] for each in definitions(run)] == ["min", "min,max", "max", "copy", "none", "last"]


def test_a_metric_logged_before_its_definition_keeps_its_value(run: stepwell.Run) -> None:
    run.log({"loss": 1.0, "list": [1]})
    run.define_metric("*", summary="min")
    assert dict(run.summary) == {"loss": 1.0, "list": [1]}
    run.log({"loss": 2.0})
    assert run.summary["loss"] == {"min": 2.0}


@pytest.mark.parametrize("step", [np.float32(64), np.array(64.0), np.int8(64), 64.0])
def test_a_step_may_be_a_whole_number_of_any_type(run: stepwell.Run, step: Any) -> None:
    run.log({"loss": 1}, step=step)
    assert run.step == 64


def test_the_summary_of_each_rule(run: stepwell.Run) -> None:
    for rule in ("min", "max", "mean", "first", "last", "copy", "none", "best"):
        run.define_metric(rule, summary=rule, goal="maximize")
    for value in (2, math.nan, np.float32(4), 3):
        run.log(dict.fromkeys(("min", "max", "mean", "first", "last", "copy", "none", "best"), value))
    assert dict(run.summary) == {
        "min": {"min": 2},
        "max": {"max": 4.0},
        "mean": {"mean": 3.0},
        "first": {"first": 2},
        "last": {"last": 3},
        "copy": 3,
        "best": {"best": 4.0},
    }


def test_defining_one_metric_forgets_nothing_of_another(run: stepwell.Run) -> None:
    run.define_metric("acc", summary="max")
    run.log({"acc": 9, "loss": 1})
    run.define_metric("loss", summary="min")
    run.log({"acc": 1, "loss": 2})
    assert dict(run.summary) == {"acc": {"max": 9}, "loss": {"min": 2}}


def test_values_that_no_extreme_can_be_of(run: stepwell.Run) -> None:
    run.define_metric("*", summary="max")
    run.log({"big": 10**400, "text": "x", "flag": True, "none": None, "list": [1, math.inf]})
    assert dict(run.summary) == {
        "big": {"max": 10**400},
        "text": "x",
        "flag": True,
        "none": None,
        "list": [1, math.inf],
    }


def test_two_spellings_have_one_summary_under_the_first_one(run: stepwell.Run) -> None:
    run.log({"Loss": 1})
    run.log({"loss": 2})
    assert dict(run.summary) == {"Loss": 2}


def test_a_name_that_cannot_be_is_refused(run: stepwell.Run) -> None:
    with pytest.raises(ValueError, match="summary"):
        run.define_metric("a", summary="median")
    with pytest.raises(ValueError, match="goal"):
        run.define_metric("a", goal="more")
    with pytest.raises(stepwell.KeyRuleError):
        run.define_metric("")


@pytest.mark.parametrize("array", [np.arange(3), np.zeros((0, 2)), np.eye(2)])
def test_an_array_under_a_defined_metric_is_logged_as_any_other_value(run: stepwell.Run, array: np.ndarray) -> None:
    run.define_metric("*", step_metric="epoch", summary="max")
    run.log({"epoch": 1, "loss": 2.0})
    run.log({"epoch": array, "loss": array})
    assert np.array_equal(run.summary["loss"], array)
    run.log({"loss": 3.0})
    assert run.summary["loss"] == {"max": 3.0}
    assert logged(run)["epoch"] == [1.0, 1.0]


@pytest.mark.parametrize("text", [{}, {"note": ["slow"]}], ids=["packed", "slow"])
def test_a_definition_applies_to_what_was_logged_before_it(run: stepwell.Run, text: dict[str, Any]) -> None:
    run.define_metric("loss", summary="min")
    run.log({"loss": 2.0, **text})
    run.define_metric("Loss", summary="max")
    assert run.summary["loss"] == {"min": 2.0, "max": 2.0}
    del run.summary["loss"]
    assert "loss" not in run.summary
    run.define_metric("loss", summary="copy")
    assert run.summary["loss"] == 2.0
