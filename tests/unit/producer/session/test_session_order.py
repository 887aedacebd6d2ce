"""From `init()` to the planner, without a broker: sessions of a run whose journals arrive in any order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from pathlib import Path

import pytest

import stepwell
from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.errors import ApiError
from stepwell.journal.stored import read_journal_header
from stepwell.session import resume
from stepwell.session.known_run import KnownRun
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.steps import StepState
from support.factories.numbers import with_values
from support.readers.journals import read_journal

PATH = RunPath("me", "p", "run")
ROWS = 4
Service = Callable[[int | None], None]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A function that sets what the service answers for the run's last step; None: it can't be reached."""

    def answer(last: int | None) -> None:
        def fetch(*_: object, **__: object) -> dict[str, int]:
            if last is None:
                raise ApiError("no service")
            return {"last_step": last}

        monkeypatch.setattr(resume, "fetch_document", fetch)
        monkeypatch.setattr(resume, "read_known_run", lambda *_: KnownRun())

    answer(None)
    return answer


def a_session(folder: Path, rule: str | None, rows: Iterable[int], asked: int | None = None) -> Path:
    """Log rows in an offline session; return its journal."""
    before = set(folder.rglob("*.journal"))
    with stepwell.init(
        "me", "p", folder, id="run", mode="offline", resume=rule, settings={"quiet": True, "console": "off"}
    ) as run:
        for number, row in enumerate(rows):
            run.log({"row": row}, step=None if asked is None else asked + number)
    (journal,) = set(folder.rglob("*.journal")) - before
    return journal


def stored(journals: Sequence[Path], earlier: int = 0) -> tuple[list[tuple[int, float]], int]:
    """Return the rows stored from journals that arrive in this order, after some rows, and the number of conflicts."""
    payloads = [encode(LogEvent(**PATH._asdict(), data={"row": float(row)})) for row in range(earlier)]
    for journal in journals:
        info, items = read_journal(journal)
        steps = StepState(info.first_step) if info.lineage else None
        contents = split_into_events(items, max_rows=3)
        payloads += [event.payload for event in encode_events(contents, info, 0, steps)]
    messages = [Message(offset, 0, PATH.kafka_key, payload) for offset, payload in enumerate(payloads)]
    received, dead = receive_all(Codec(), messages)
    assert not dead
    plan = plan_flush(received, [], {PATH: RunState()}, len(messages))
    newest: dict[int, tuple[int, float]] = {}
    for row in with_values(plan.tables["points_number"]).to_pylist():
        newest[row["step"]] = max(newest.get(row["step"], (-1, 0.0)), (row["version"], row["value"]))
    return [(step, value) for step, (_, value) in sorted(newest.items())], plan.conflicts


def in_order(rows: int) -> list[tuple[int, float]]:
    """Return rows at the steps that they are numbered by."""
    return [(row, float(row)) for row in range(rows)]


@pytest.mark.parametrize("rule", [None, "allow", "must"])
@pytest.mark.parametrize("back", [0, 3600])
def test_sessions_have_their_steps_in_any_order(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch, rule: str | None, back: int
) -> None:
    now = time.time_ns
    journals = []
    for number in range(3):
        monkeypatch.setattr(time, "time_ns", lambda behind=number * back * 10**9: now() - behind)
        rule_now = "allow" if rule == "must" and not number else rule
        journals.append(a_session(tmp_path, rule_now, range(ROWS * number, ROWS * (number + 1))))
    for arrival in permutations(journals):
        assert stored(arrival) == (in_order(3 * ROWS), 0)


@pytest.mark.parametrize("rule", [None, "allow"])
def test_sessions_in_the_dark_replace_no_row_of_a_run_that_has_some(
    tmp_path: Path, service: Service, rule: str | None
) -> None:
    journals = [a_session(tmp_path, rule, range(10 + ROWS * number, 10 + ROWS * (number + 1))) for number in range(2)]
    assert stored(journals, earlier=10) == (in_order(10 + 2 * ROWS), 0)
    backwards, _ = stored(journals[::-1], earlier=10)
    assert sorted(value for _, value in backwards) == [float(row) for row in range(10 + 2 * ROWS)]


def test_what_the_service_knows_begins_a_line(tmp_path: Path, service: Service) -> None:
    service(9)
    first = a_session(tmp_path, "allow", range(10, 14))
    second = a_session(tmp_path, "allow", range(14, 18))
    lines = [read_journal_header(journal).info for journal in (first, second)]
    assert [(line.first_step, line.lineage, line.lineage_step) for line in lines] == [
        (10, lines[0].session, 10),
        (14, lines[0].session, 10),
    ]
    for arrival in permutations([first, second]):
        assert stored(arrival, earlier=10) == (in_order(18), 0)
    service(99)
    third = read_journal_header(a_session(tmp_path, "allow", [])).info
    assert (third.first_step, third.lineage, third.lineage_step) == (100, third.session, 100)


def test_a_service_that_knows_less_than_the_log_costs_no_row(tmp_path: Path, service: Service) -> None:
    service(4)
    journal = a_session(tmp_path, "allow", range(10, 14))
    assert stored([journal], earlier=10) == (in_order(14), 0)


def test_requested_steps_of_a_session_that_does_not_resume_are_what_they_say(tmp_path: Path, service: Service) -> None:
    journal = a_session(tmp_path, None, range(20, 24), asked=5)
    assert stored([journal], earlier=10) == (
        [*in_order(5), *((5 + row, 20.0 + row) for row in range(4)), (9, 9.0)],
        0,
    )
