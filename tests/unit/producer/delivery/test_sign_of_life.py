"""The sign of life of a run: when it is due, and what the ingestor makes of it."""

from __future__ import annotations

from stepwell.delivery.sign_of_life import SignOfLife
from stepwell.journal.format import JournalInfo
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import LogBatch, RunStarted
from stepwell_schemas.limits import SIGN_OF_LIFE_SECONDS
from support.factories.plans import PATH, flushed, received

_INFO = JournalInfo(*PATH, "session", "rank1")


def test_a_sign_is_due_after_silence_and_never_before_the_start_of_the_run() -> None:
    life = SignOfLife(_INFO, 100.0)
    late = 100.0 + SIGN_OF_LIFE_SECONDS
    assert [life.is_due(late - 1, 1), life.is_due(late, 0), life.is_due(late, 1)] == [False, False, True]
    life.next_event(late, 5)
    assert not life.is_due(late + 1, 1)
    assert life.is_due(late + SIGN_OF_LIFE_SECONDS, 1)


def test_a_sign_changes_the_time_of_the_last_activity_alone() -> None:
    event = Codec().decode(SignOfLife(_INFO, 0.0).next_event(0.0, 9_000_000))
    assert isinstance(event, LogBatch)
    started = RunStarted(**PATH._asdict(), timestamp=1_000_000, session="session", sequence=0, writer="rank1")
    (before,), (after,) = flushed(received([started]), []), flushed(received([started, event]), [])
    (row,) = after.tables["run_activity"].to_pylist()
    assert row["last_timestamp"].timestamp() == 9.0
    assert (row["totals"]["log_rows"], row["totals"]["points"]) == (0, 0)
    assert after.tables["run_documents"] == before.tables["run_documents"]
    assert after.tables["session_activity"].num_rows == before.tables["session_activity"].num_rows
    assert not after.dead
    assert "series" not in after.tables
