"""`run.summary` as wandb's: media are stored, nested values are set, keys can be deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import MediaChunk, RunUpdated
from support.readers.journals import encode_journal

RED = np.full((2, 2, 3), [255, 0, 0], np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[stepwell.Run]:
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings={"quiet": True}) as started:
        yield started


def sent(run: stepwell.Run) -> tuple[dict[str, Any], set[str]]:
    """Return the summary that a run's events make, and the files among them."""
    run.finish()
    summary: dict[str, Any] = {}
    files: set[str] = set()
    for event in (decode(each.payload) for each in encode_journal(run.journal_path)):
        if isinstance(event, MediaChunk):
            files.add(event.sha256)
        if isinstance(event, RunUpdated):
            # A file is sent before the value that refers to it.
            references = [part for part in json.loads(event.summary).values() if isinstance(part, dict)]
            assert {part["sha256"] for part in references if "sha256" in part} <= files
            summary = {key: value for key, value in summary.items() if key not in event.summary_remove}
            summary |= json.loads(event.summary)
    return summary, files


@pytest.mark.parametrize(
    ("make", "described"),
    [
        (lambda: stepwell.Histogram([1, 2], num_bins=1), {"bins": [1.0, 2.0], "counts": [2]}),
        (lambda: stepwell.Image(RED, caption="red"), {"width": 2, "height": 2, "caption": "red"}),
        (lambda: stepwell.Table(columns=["a"], data=[[1], [2]]), {"columns": ["a"], "rows": 2}),
        (lambda: stepwell.Audio(np.zeros(8), sample_rate=8), {"channels": 1}),
    ],
)
def test_media_are_stored_as_those_that_are_logged(
    run: stepwell.Run, make: Callable[[], Any], described: dict[str, Any]
) -> None:
    run.log({"logged": make()})
    run.summary["set"] = make()
    run.summary["best"] = {"several": [make()], "mixed": [1]}
    run.summary["best"]["later"] = make()
    run.summary["best"]["mixed"].append(make())
    reference = run.summary["logged"]
    assert described.items() <= reference.items()
    assert run.summary["set"] == reference
    best = {"several": {"items": [reference]}, "mixed": [1, reference], "later": reference}
    assert run.summary["best"] == best
    summary, files = sent(run)
    assert summary == {"set": reference, "best": best}
    assert files == ({reference["sha256"]} if "sha256" in reference else set())


def test_media_that_cannot_be_stored_are_reported_and_the_rest_is_set(
    run: stepwell.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run.summary.update({"gone": stepwell.Image("/nowhere/gone.png"), "acc": 1})
    assert dict(run.summary) == {"acc": 1}
    assert "'gone'" in capfd.readouterr().err
    assert sent(run)[0] == {"acc": 1}


def test_nested_values_are_set(run: stepwell.Run) -> None:
    run.summary["best"] = {"acc": 1}
    run.summary["best"]["acc"] = np.float32(2)
    run.summary.best.epoch = 3
    assert run.summary["best"] == {"acc": 2.0, "epoch": 3}
    assert sent(run)[0] == {"best": {"acc": 2.0, "epoch": 3}}


def test_a_value_that_was_set_is_deleted_and_the_logged_one_with_it(run: stepwell.Run) -> None:
    run.log({"acc": 1, "loss": 2})
    run.summary["acc"] = 3
    run.summary["note"] = "x"
    del run.summary["acc"], run.summary["note"]
    assert dict(run.summary) == {"loss": 2}
    for missing in ("acc", "never"):
        with pytest.raises(KeyError, match=missing):
            del run.summary[missing]
    assert sent(run)[0] == {}


@pytest.mark.parametrize("value", [1.0, "text", [1, 2], 10**30])
def test_a_logged_metric_is_hidden_until_it_is_defined_otherwise(run: stepwell.Run, value: Any) -> None:
    run.define_metric("Metric", step_metric="epoch")
    run.log({"metric": value})
    del run.summary["metric"]
    assert "metric" not in run.summary
    run.log({"metric": value})
    assert "metric" not in run.summary
    run.define_metric("metric", summary="copy")
    run.log({"metric": value})
    assert run.summary["metric"] == value
    run.finish()
    events = [decode(each.payload) for each in encode_journal(run.journal_path)]
    definitions = [metric for event in events if isinstance(event, RunUpdated) for metric in event.metrics]
    assert [(each.summary, each.step_metric) for each in definitions] == [
        (None, "epoch"),
        ("none", "epoch"),
        ("copy", "epoch"),
    ]


@pytest.mark.parametrize("text", [{}, {"note": "slow"}], ids=["packed", "slow"])
def test_of_two_spellings_in_one_call_the_later_value_is_the_summary(run: stepwell.Run, text: dict[str, str]) -> None:
    run.log({"loss": 1.0, **text})
    run.log({"Loss": 2.0, "loss": 3.0, **text})
    assert run.summary["loss"] == 3.0
    run.log({"loss": 4.0, "Loss": 5.0, **text})
    assert run.summary["loss"] == 5.0
    run.log({"loss": 6.0, **text})
    assert run.summary["loss"] == 6.0
