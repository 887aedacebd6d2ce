"""The records of a run in the journals on this machine, as the sender would send them.

Journals are only read, and may grow meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from stepwell.delivery.batching import EventContent, build_event, split_into_events
from stepwell.delivery.publisher import READ_BYTES
from stepwell.delivery.set_aside import read_set_aside
from stepwell.delivery.sync import find_journals
from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.format import JournalInfo
from stepwell.journal.reader import Reader
from stepwell.journal.segments import first_position
from stepwell.journal.stored import StoredJournal
from stepwell_ingestor.verify.session_digest import SessionTally, Tallies, merge, tally_batch
from stepwell_schemas.events.models import Event, LogBatch
from stepwell_schemas.rules.identifiers import RunPath

_UNFIT: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


class JournalAccount(NamedTuple):
    """One journal of a run.

    Attributes:
        path: its file.
        info: its identity.
        records: the number of its records, counting those that were delivered and deleted.
        first: the number of the first record that it still has.
        living: true if its session may still write.
        damage: the damage that ends reading before the journal's end, "" if there is none.
        set_aside: the numbers of records that could not be delivered, and are in a file next to the journal.
    """

    path: Path
    info: JournalInfo
    records: int
    living: bool
    damage: str
    first: int = 0
    set_aside: frozenset[int] = frozenset()


class JournalCheck(NamedTuple):
    """A journal compared with its session in the log.

    `held` and `logged` are tallies of the records that the log should have: from the journal, and from the log.
    `pending` are the journal's records that the log does not have yet; `following` is the number of the first of them.
    """

    account: JournalAccount
    held: Tallies
    logged: Tallies
    pending: Tallies
    following: int


def find_accounts(folder: Path, run: RunPath) -> list[JournalAccount]:
    """Return the journals of a run in a folder, the oldest session first; for copies of a journal, the longest."""
    longest: dict[str, JournalAccount] = {}
    for path in find_journals([folder]):
        account = _account(path, run)
        if account is not None:
            known = longest.setdefault(account.info.session, account)
            longest[account.info.session] = max(known, account, key=lambda journal: journal.records)
    return list(longest.values())


def check_journal(account: JournalAccount, session: SessionTally, *, complete: bool) -> JournalCheck | None:
    """Compare a journal with the log's tally of its session; None if the journal was delivered and removed.

    If the log is not `complete`, records before its first one are left out. If the journal has deleted records that
    were delivered, only those are compared that the log does not have yet.
    """
    first = 0 if complete or session.first is None else session.first
    held: Tallies = {}
    pending: Tallies = {}
    try:
        for event in _events(account):
            if isinstance(event, LogBatch):
                for start, end in _delivered(first, session.following, account.set_aside):
                    merge(held, tally_batch(event, start, end))
                merge(pending, tally_batch(event, session.following, account.records))
    except (OSError, JournalError):
        if account.path.exists():
            raise
        return None
    if account.first > 0:
        return JournalCheck(account, {}, {}, pending, session.following)
    logged = session.all_tallies() if complete else session.tallies
    return JournalCheck(account, held, logged, pending, session.following)


def _delivered(first: int, following: int, set_aside: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of record numbers in [first, following) whose values the log should have.

    A record that was set aside has an event without its values in the log.
    """
    for number in sorted(number for number in set_aside if first <= number < following):
        yield first, number
        first = number + 1
    yield first, following


def _account(path: Path, run: RunPath) -> JournalAccount | None:
    try:
        # Read first: a session that ends later has written its last record before the journal is read.
        living = not locks.is_orphaned(path)
        with StoredJournal(path) as journal:
            if RunPath(journal.info.entity, journal.info.project, journal.info.run_id) != run:
                return None
            reader = _reader(journal)
            first = reader.position.sequence
            for _ in reader.read_all(journal, READ_BYTES):
                pass
            # An open session writes while its journal is read: apparent damage is its next record.
            damage = None if living else reader.damage(journal)
            records = reader.position.sequence
            said = "" if damage is None else str(damage)
            return JournalAccount(path, journal.info, records, living, said, first, read_set_aside(path))
    except (OSError, JournalError):
        return None


def _reader(journal: StoredJournal) -> Reader:
    """Return a reader at the first record that the journal still has."""
    reader = Reader(check=True)
    segments = journal.segments()
    # Earlier segments that were not delivered are missing, which the reader notes.
    if segments and segments[0].info.base <= journal.acknowledged.offset:
        reader.skip_to(journal, first_position(segments[0]))
    return reader


def _events(account: JournalAccount) -> Iterator[Event]:
    """Yield the events of a journal's counted records; records that are not valid are skipped, as by the sender."""
    with StoredJournal(account.path) as journal:
        reader = _reader(journal)
        while (sequence := reader.position.sequence) < account.records:
            before = reader.position
            for piece in split_into_events(reader.read(journal, sys.maxsize, READ_BYTES)):
                event = _event(piece, account, sequence)
                if event is not None:
                    yield event
                sequence += max(1, piece.rows)
            if reader.position == before:
                return


def _event(piece: EventContent, account: JournalAccount, sequence: int) -> Event | None:
    try:
        return build_event(piece, account.info, sequence)
    except _UNFIT:
        return None


def session_ends(accounts: Iterable[JournalAccount]) -> dict[str, int]:
    """Return the number of records of each journal, by session."""
    return {account.info.session: account.records for account in accounts}
