"""A resumed run has its earlier description, config, summary and definitions, and sends none of them again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.delivery.order import JournalEntry
from stepwell.errors import ApiError
from stepwell.journal.format import TAG_EVENT, JournalInfo
from stepwell.journal.journal import Journal
from stepwell.recording.figures import Figures, array_figures
from stepwell.recording.row_writer import RowWriter
from stepwell.session import resume
from stepwell.session.known_run import KnownRun, means_wanted
from stepwell.session.replay import replay_journals
from stepwell.session.stored_run import _moments
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import RunStarted, RunUpdated
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.readers.journals import encode_journal

Init = Callable[..., stepwell.Run]
RUN = RunPath("me", "p", "run")


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Init]:
    """A function that starts an offline session of the run `run`, with no service."""

    def away(*_: object, **__: object) -> None:
        raise ApiError("no service")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(resume, "fetch_document", away)
    settings = {"quiet": True, "entity": "me", "project": "p"}
    yield lambda **given: stepwell.init(id="run", mode="offline", dir=tmp_path, settings=settings, **given)
    stepwell.finish()


def start(run: stepwell.Run) -> RunStarted:
    """Return the start that a session has written."""
    run.finish()
    event = decode(encode_journal(run.journal_path)[0].payload)
    assert isinstance(event, RunStarted)
    return event


@pytest.mark.parametrize("rule", ["must", "allow"])
def test_the_description_is_kept_unless_given(init: Init, rule: str) -> None:
    init(name="nice", notes="n", tags=["a"], group="g", job_type="j", config={"lr": 0.1, "depth": {"of": 3}}).finish()
    run = init(resume=rule, config={"lr": 0.2, "width": 5}, tags=["b"])
    assert (run.name, run.notes, run.tags, run.group, run.job_type) == ("nice", "n", ("b",), "g", "j")
    assert dict(run.config) == {"lr": 0.2, "depth": {"of": 3}, "width": 5}
    run.config.setdefaults({"lr": 9, "new": 1})
    assert (run.config.lr, run.config.new) == (0.2, 1)
    event = start(run)
    assert (event.display_name, event.notes, event.tags, event.group, event.job_type) == ("", "", ["b"], "", "")
    assert event.config == '{"lr": 0.2, "width": 5}'
    # The third session finds what both before it have given.
    third = init(resume=rule)
    assert (third.name, third.tags, third.config["lr"], third.config["width"]) == ("nice", ("b",), 0.2, 5)


def test_a_new_run_has_its_id_as_name(init: Init) -> None:
    run = init(resume="allow")
    assert (run.name, dict(run.config), dict(run.summary), run.tags) == ("run", {}, {}, ())


def test_the_summary_continues(init: Init) -> None:
    first = init()
    first.define_metric("acc", summary="min,max,mean")
    first.define_metric("val/*", summary="best", goal="maximize")
    for value in (1.0, math.nan, 3.0, 2.0):
        first.log({"acc": value, "val/a": value, "n": 2**70, "ok": True, "list": [1, value]})
    first.summary["best"] = 0.5
    first.summary["gone"] = 1
    del first.summary["gone"]
    before = {**first.summary, "list": [1, 2.0]}
    first.finish()
    second = init(resume="must")
    assert second.step == 4
    assert {**second.summary, "list": [1, 2.0]} == before
    assert second.summary.get("best", 0) == 0.5
    second.define_metric("acc", summary="min,max,mean")
    second.log({"acc": 6, "Val/A": 0.5, "extra": "text"})
    second.summary["best"] = 0.6
    assert second.summary["acc"] == {"min": 1.0, "max": 6, "mean": 3.0}
    assert second.summary["val/a"] == {"best": 3.0}
    assert second.summary["extra"] == "text"
    second.finish()
    third = init(resume="must")
    assert third.summary["acc"] == {"min": 1.0, "max": 6, "mean": 3.0}
    assert third.summary["best"] == 0.6
    del third.summary["best"]
    assert "best" not in third.summary


def test_floats_that_json_lacks_are_floats_in_the_next_session(init: Init) -> None:
    given = {"max_norm": math.inf, "bounds": [-math.inf, {"to": math.nan}], "name": "Infinity?"}
    first = init(config=given)
    first.summary["best"] = -math.inf
    first.log({"loss": math.inf, "text": "NaN"})
    first.finish()
    second = init(resume="must")
    assert repr(second.config.as_dict()) == repr(given)
    assert dict(second.summary) == {"best": -math.inf, "loss": math.inf, "text": "NaN"}
    document = {"config": {"lr": "Infinity", "of": ["NaN"]}, "summary": {"s": "-Infinity"}, "summary_set": ["s"]}
    known = KnownRun.read(document, {})
    assert (repr(known.config), known.by_hand) == ("{'lr': inf, 'of': [nan]}", {"s": -math.inf})


def test_definitions_continue_and_are_not_sent_again(init: Init) -> None:
    first = init()
    first.define_metric("loss", step_metric="epoch", summary="min", goal="minimize")
    first.log({"epoch": 7, "loss": 1.0})
    first.finish()
    second = init(resume="must")
    second.log({"loss": 2.0})
    metric = second.define_metric("loss", hidden=True)
    assert (metric.step_metric, metric.summary, metric.goal) == ("epoch", ("min",), "minimize")
    second.finish()
    events = [decode(sent.payload) for sent in encode_journal(second.journal_path)]
    assert [event.metrics[0].name for event in events if isinstance(event, RunUpdated)] == ["loss"]


def test_values_of_other_writers_do_not_replace_the_primary_ones(init: Init) -> None:
    first = init(writer="rank1")
    first.log({"loss": 5.0, "own": 1.0})
    first.finish()
    second = init(writer="rank0")
    second.log({"loss": 2.0})
    second.finish()
    third = init(writer="rank1")
    third.log({"loss": 9.0, "own": 3.0})
    third.finish()
    assert dict(init(resume="must").summary) == {"loss": 2.0, "own": 3.0}


@pytest.mark.parametrize("settled", [0, 1, 2, 70_000, 120_003, 200_000])
def test_records_that_the_service_has_are_not_counted_again(tmp_path: Path, settled: int) -> None:
    info = JournalInfo(*RUN, "session", "")
    journal = Journal(tmp_path / "run-session.journal", info, 64 * MIB, "drop")
    journal.append_json(TAG_EVENT, {"event": "RunStarted", "config": {"lr": 1}, "display_name": "nice"})
    rows = RowWriter(journal, 0, "run")
    for row in range(120_000):
        rows.log({"acc": float(row)}, None, None)
    rows.log({"acc": 5, "text": "slow"}, None, None)
    journal.append_json(
        TAG_EVENT, {"event": "RunUpdated", "metrics": [{"name": "acc", "summary": "mean"}], "summary": {"best": 1}}
    )
    assert len(journal.segments()) > 2
    journal.release()
    known = replay_journals(KnownRun(), [JournalEntry(journal.path, journal.info)], {"session": settled})
    values = [*range(120_000), 5]
    left = values[max(0, settled - 1) :]
    found = known.figures.get("acc", Figures())
    assert (found.numbers, found.total) == (len(left), sum(left))
    assert known.config == ({"lr": 1} if settled == 0 else {})
    assert known.by_hand == ({"best": 1} if settled < 120_003 else {})
    assert known.logged.get("acc") == (5 if left else None)


def test_what_the_service_knows() -> None:
    document = {
        "run_id": "run",
        "name": "run",
        "config": {"a": 1},
        "summary": {"loss": {"mean": 2.0, "max": 4.0}, "acc": {"best": 3.0}, "best": 0.5, "pic": {"_type": "image"}},
        "summary_set": ["best"],
        "metric_definitions": [
            {"name": "loss", "summary": "mean,max"},
            {"name": "acc", "summary": "best", "goal": "maximize"},
            {"name": "pic", "summary": "min"},
        ],
    }
    assert means_wanted(document) == ["loss"]
    known = KnownRun.read(document, {"loss": (3, 2.0)})
    assert (known.name, known.by_hand) == ("", {"best": 0.5})
    assert known.figures["loss"][1:2] + known.figures["loss"][4:] == (4.0, 3, 6.0)
    assert known.figures["acc"].high == 3.0
    assert set(known.figures) == {"loss", "acc"}
    assert known.logged["pic"] == {"_type": "image"}


@pytest.mark.parametrize(
    ("series", "count", "mean"),
    [
        ({"counts": [3, 2], "nans": [1, 0], "mean": [2.0, 5.0]}, 4, 3.5),
        ({"counts": [2], "mean": [1.5]}, 2, 1.5),
        ({"counts": [1], "nans": [1], "mean": [math.nan]}, 0, math.nan),
    ],
)
def test_the_mean_of_a_series(series: dict[str, Any], count: int, mean: float) -> None:
    found = _moments(series)
    assert found[0] == count
    assert found[1] == pytest.approx(mean, nan_ok=True)


def test_figures_of_parts_are_those_of_the_whole() -> None:
    values = np.array([2.0, math.nan, -1.0, 5.0])
    for place in range(1, len(values)):
        parts = array_figures(values[:place]).then(array_figures(values[place:]))
        assert parts == array_figures(values) == Figures(-1.0, 5.0, 2.0, 5.0, 3, 6.0)
    assert Figures().then(array_figures(np.array([3, 2**62], np.int64)))[:4] == (3, 2**62, 3, 2**62)
