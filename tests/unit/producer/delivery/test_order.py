"""Order of recovery: no record of a writer is sent while an older journal of it waits, whatever processes do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from secrets import token_hex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery.delivered_journals import may_remove
from stepwell.delivery.order import JournalEntry, Patience, find_sendable, find_succession, sort_key
from stepwell.delivery.stored_content import StoredSession
from stepwell.delivery.sync import Blocked
from stepwell.journal.format import JournalInfo

WRITERS = ("", "rank0", "rank1", "rank0//console", "fork-7")
clocks = st.lists(st.tuples(st.sampled_from(WRITERS), st.integers(0, 10**16)), max_size=12)


def begin(known: Sequence[JournalEntry], writer: str, started: int) -> JournalEntry:
    """Return the journal of a session that begins when some others are in sight."""
    session = token_hex(8)
    generation, before = find_succession(known, writer)
    info = JournalInfo("e", "p", "r", session, writer, started, generation=generation)
    info = info if before is None else info._replace(predecessor=before.info.session)
    return JournalEntry(Path(f"r-{session}.journal"), info)


def begin_all(sessions: Sequence[tuple[str, int]]) -> list[JournalEntry]:
    """Return the journals of sessions that began one after the other, with any clock."""
    entries: list[JournalEntry] = []
    for writer, started in sessions:
        entries.append(begin(entries, writer, started))
    return entries


def of_writer(entries: Sequence[JournalEntry], writer: str) -> list[JournalEntry]:
    """Return the journals of a writer."""
    return [entry for entry in entries if entry.info.writer == writer]


@given(clocks, st.randoms())
def test_journals_have_the_order_of_their_sessions_whatever_the_clock(
    sessions: list[tuple[str, int]], random: Random
) -> None:
    entries = begin_all(sessions)
    shuffled = random.sample(entries, len(entries))
    assert sorted(shuffled, key=lambda entry: sort_key(entry.info)) == entries
    for entry, before in ((entry, entries[:place]) for place, entry in enumerate(entries)):
        own = of_writer(before, entry.info.writer)
        assert entry.info.predecessor == (own[-1].info.session if own else "")


@given(clocks, st.randoms())
def test_sessions_that_are_delivered_and_gone_don_t_matter(sessions: list[tuple[str, int]], random: Random) -> None:
    entries: list[JournalEntry] = []
    left: list[JournalEntry] = []
    for writer, started in sessions:
        entries.append(begin(left, writer, started))
        left.append(entries[-1])
        heads = find_sendable(left, ())
        left = [entry for entry in left if entry not in heads or random.random() < 0.5]
    for writer in WRITERS:
        kept = [entry for entry in of_writer(entries, writer) if entry in left]
        assert sorted(kept, key=lambda entry: sort_key(entry.info)) == kept


@given(clocks, st.sets(st.integers(0, 11)))
def test_only_the_oldest_of_each_writer_may_be_sent(sessions: list[tuple[str, int]], settled: set[int]) -> None:
    entries = begin_all(sessions)
    done = {entry.path for place, entry in enumerate(entries) if place in settled}
    heads = find_sendable(entries, done)
    assert heads == sorted(heads, key=lambda entry: sort_key(entry.info))
    for writer in WRITERS:
        waiting = [entry for entry in of_writer(entries, writer) if entry.path not in done]
        assert of_writer(heads, writer) == waiting[:1]


@given(clocks, st.integers(2, 4), st.integers(0, 2**32))
def test_processes_that_recover_concurrently_and_die_keep_the_order_and_end(
    sessions: list[tuple[str, int]], processes: int, seed: int
) -> None:
    """Each process claims the oldest journal that is free, sends one record after the other, and may be killed."""
    random = Random(seed)
    entries = begin_all(sessions)
    left = {entry.path: 3 for entry in entries}
    claims: dict[int, JournalEntry] = {}
    log: list[Path] = []
    for _ in range(200 * (len(entries) + 1)):
        if not any(left.values()):
            break
        process = random.randrange(processes)
        if process not in claims:
            done = {path for path, records in left.items() if not records}
            free = [entry for entry in find_sendable(entries, done) if entry not in claims.values()]
            if free:
                claims[process] = free[0]
        elif random.random() < 0.1:
            del claims[process]  # killed; its successor claims again
        else:
            path = claims[process].path
            log.append(path)
            left[path] -= 1
            if not left[path]:
                del claims[process]
    assert not any(left.values()), "no process waits for ever"
    for writer in WRITERS:
        order = [entry.path for entry in of_writer(entries, writer)]
        sent = [path for path in log if path in order]
        assert sent == [path for path in order for _ in range(3)]


def test_journals_of_earlier_versions_come_first_and_in_the_order_of_their_clocks() -> None:
    old = [JournalEntry(Path(str(at)), JournalInfo("e", "p", "r", str(at), "", at)) for at in (3, 1, 2)]
    new = begin(old, "", 0)
    ordered = sorted([new, *old], key=lambda entry: sort_key(entry.info))
    assert [entry.info.started for entry in ordered] == [1, 2, 3, 0]
    assert new.info.predecessor == "3"


def test_patience_ends_without_progress_alone() -> None:
    patience, path = Patience(60.0), Path("j")
    assert not patience.is_over(path, 100, 0.0)
    assert not patience.is_over(path, 100, 59.0)
    assert not patience.is_over(path, 200, 61.0)
    assert not patience.is_over(path, 200, 120.0)
    assert patience.is_over(path, 200, 121.0)
    assert not patience.is_over(Path("another"), 0, 121.0)


@pytest.mark.parametrize(("may_pass", "other"), [(True, "gone"), (False, "")])
def test_an_error_of_one_journal_stops_its_writer_and_one_of_the_brokers_everything(may_pass: bool, other: str) -> None:
    blocked = Blocked()
    assert not blocked.reason("e/p/r", "w")
    blocked.add("e/p/r", "w", "gone", may_pass=may_pass)
    assert blocked.reason("e/p/r", "w") == "gone"
    assert blocked.reason("e/p/r", "") == other


@pytest.mark.parametrize(
    ("records", "differing", "before", "removed"),
    [
        (None, 0, False, False), (None, 0, True, True), (4, 0, True, False), (5, 0, False, True), (6, 0, False, True),
        (6, 1, True, False),
    ],
)  # fmt: skip
def test_a_delivered_journal_is_removed_when_it_is_stored_as_it_was_sent(
    records: int | None, differing: int, before: bool, removed: bool
) -> None:
    stored = None if records is None else StoredSession(records, 1, 1, 0, 0, 0, differing_rows=differing)
    assert may_remove(stored, 5, before=before) is removed
