"""Metadata of any kind becomes events that can be encoded and that fit the broker's limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepwell
from stepwell.delivery.batching import EventContent, encode_events
from stepwell.errors import SettingsError
from stepwell.journal.format import JournalInfo
from stepwell.journal.items import MetaEvent
from stepwell.recording.cells import ROW_MAX_BYTES, split_row
from stepwell.values.metadata import metadata_value, split_mapping
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import Event, LogBatch, RunStarted, RunUpdated
from stepwell_schemas.limits import MAX_EVENT_BYTES, TEXT_MAX_BYTES
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import StepState, resolve
from support.readers.journals import encode_journal

_LONE = "\udcff"
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("freed")


def _events(file: str) -> list[Event]:
    """Return the events of a journal; fail if one of them can't be sent."""
    events: list[Event] = []
    for payload, _, error, *_ in encode_journal(file):
        assert not error
        assert len(payload) <= MAX_EVENT_BYTES
        events.append(decode(payload))
    return events


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., list[Event]]:
    """A function that runs an offline run with some arguments and returns its events."""

    def run(use: Callable[[stepwell.Run], object] = lambda _: None, **arguments: Any) -> list[Event]:
        settings = {"quiet": True}
        with stepwell.init(project="p", mode="offline", dir=tmp_path, settings=settings, **arguments) as started:
            use(started)
        return _events(started.journal_path)

    return run


def test_describing_texts_may_be_anything(record: Callable[..., list[Event]]) -> None:
    first = record(name=5, notes=_LONE, group=1.5, job_type=_LONE, tags=["a", 1, _LONE, "", "a"], writer=3)[0]
    assert isinstance(first, RunStarted)
    assert (first.display_name, first.notes, first.group, first.writer) == ("5", "\\udcff", "1.5", "3")
    assert first.tags == ["a", "1", "\\udcff"]


def test_describing_texts_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="notes"):
        stepwell.init(mode="offline", dir=tmp_path, notes="x" * (TEXT_MAX_BYTES + 1))


@given(_VALUES)
def test_described_values_are_json_that_utf8_can_hold(value: Any) -> None:
    json.dumps(metadata_value(value), ensure_ascii=False).encode()


def test_what_has_no_json_is_described_by_its_text_alone() -> None:
    assert metadata_value({"a": {"b": 1j, "c": 2}, "d": _Hostile(), 3: 10**5000}) == {
        "a": {"b": [0.0, 1.0], "c": 2},
        "d": "<_Hostile: RuntimeError>",
        "3": "<int: ValueError>",
    }


def test_a_wide_config_travels_in_parts_and_a_huge_value_not_at_all(
    record: Callable[..., list[Event]], capfd: pytest.CaptureFixture[str]
) -> None:
    config = {f"key{number}": "x" * 700_000 for number in range(12)} | {"huge": "x" * (TEXT_MAX_BYTES + 1)}
    events = record(config=config)
    merged: dict[str, Any] = {}
    for event in events:
        if isinstance(event, RunStarted | RunUpdated):
            merged |= json.loads(event.config)
    assert merged == {key: value for key, value in config.items() if key != "huge"}
    assert "'huge'" in capfd.readouterr().err


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=20))
def test_parts_add_up_to_the_mapping(values: dict[str, int]) -> None:
    merged: dict[str, Any] = {}
    for part in split_mapping(values, lambda *_: None):
        merged |= part
    assert merged == values


@given(st.dictionaries(st.text(max_size=3), st.integers(0, ROW_MAX_BYTES // 3), max_size=8))
def test_parts_of_a_row_are_the_row_in_order_and_bounded(sizes: dict[str, int]) -> None:
    cells = {key: ("string", "x" * size) for key, size in sizes.items()}
    parts = split_row(cells)
    assert [item for part in parts for item in part.items()] == list(cells.items())
    assert all(sum(len(text) for _, text in part.values()) <= ROW_MAX_BYTES or len(part) == 1 for part in parts)


@pytest.mark.parametrize(
    "row",
    [
        {f"text{number}": "x" * TEXT_MAX_BYTES for number in range(12)},
        {f"{number:01000d}": float(number) for number in range(12_000)},
    ],
    ids=["texts", "keys"],
)
@pytest.mark.parametrize(("step", "commit", "following"), [(None, None, 1), (7, None, 7), (7, True, 8), (-1, None, 1)])
def test_a_row_too_large_for_an_event_stays_one_row(
    record: Callable[..., list[Event]], row: dict[str, Any], step: int | None, commit: bool | None, following: int
) -> None:
    reached: list[int] = []

    def use(run: stepwell.Run) -> None:
        run.log(row, step=step, commit=commit)
        reached.append(run.step)

    batches = [event for event in record(use) if isinstance(event, LogBatch)]
    assert [key for event in batches for block in event.blocks for key in block.keys] == list(row)
    state = StepState()
    steps: set[int] = set()
    for event in batches:
        asked = None if event.steps is None else np.frombuffer(event.steps, "<i8")
        commits = None if event.commits is None else np.frombuffer(event.commits, "i1")
        resolved = resolve(state, asked, commits, event.rows)
        state = resolved.state
        steps |= set(resolved.steps.tolist())
    assert (steps, state.current, reached) == ({7 if step == 7 else 0}, following, [following])


def test_numbers_too_long_for_text_are_refused_and_the_rest_kept(
    record: Callable[..., list[Event]], capfd: pytest.CaptureFixture[str]
) -> None:
    row = {
        "int": 10**5000,
        "decimal": Decimal("1E+999999999"),
        "list": [10**5000],
        "key": {10**5000: 1},
        "fine": 10**600,
    }
    (batch,) = [event for event in record(lambda run: run.log(row)) if isinstance(event, LogBatch)]
    (block,) = batch.blocks
    assert (block.kind, block.keys, block.exact[0].text) == (Kind.NUMBER, ["fine"], str(10**600))
    assert len(capfd.readouterr().err.splitlines()) == 4


def test_a_record_that_is_no_event_is_passed_over() -> None:
    info = JournalInfo("e", "p", "r", "s", "")
    good = MetaEvent({"event": "RunUpdated", "timestamp": 1, "notes": "n"}, 200)
    bad = [MetaEvent({"event": "RunUpdated", "notes": 5}, 100), MetaEvent({"event": "Unknown"}, 150)]
    results = list(encode_events([EventContent([item], 0, item.end) for item in [*bad, good]], info, 0))
    assert [bool(result.error) for result in results] == [True, True, False]
    assert [result.after.sequence for result in results] == [1, 2, 3]
    assert decode(results[2].payload).sequence == 2


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    run = stepwell.init(mode="offline", dir=tmp_path, settings={"quiet": True})
    run.log({"a": 1, "b": "x"})
    run.finish()
    for call in (lambda: run.log({"a": 1}), lambda: run.config.update({"a": 1}), lambda: run.define_metric("a")):
        with pytest.raises(stepwell.Error, match="finished"):
            call()
    assert dict(run.summary) == {"a": 1, "b": "x"}


def test_undefined_metrics_cost_a_summary_nothing(tmp_path: Path) -> None:
    with stepwell.init(mode="offline", dir=tmp_path, settings={"quiet": True}) as run:
        run.log({"acc": 1, "epoch": 0})
        run.define_metric("*", step_metric="epoch")
        run.define_metric("acc", summary="max,last")
        for value in (np.float32(3), 2):
            run.log({"acc": value, "epoch": 1})
        assert dict(run.summary) == {"acc": {"max": 3.0, "last": 2}, "epoch": 1}
        assert type(run.summary["acc"]["max"]) is float
