"""Journals in `stepwell verify`: their run, their records, and the records that the log does not have yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from stepwell.delivery.set_aside import set_aside_path
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
from stepwell_deploy.verify.compare import compare_journals
from stepwell_deploy.verify.journals import JournalAccount, check_journal, find_accounts, session_ends
from stepwell_ingestor.verify.session_digest import SessionTally
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.readers.journals import flip, segment_files

RUN = RunPath("e", "p", "r")
ROWS: list[dict[str, Any]] = [{"a": 1.0}, {"a": 2.0, "note": "x"}, {"a": float("nan")}, {"ok": True}]


def a_journal(folder: Path, session: str, run: RunPath = RUN, *, living: bool = False) -> Journal:
    """Return a journal of some rows; unless `living`, its process has released it."""
    journal = Journal(folder / f"{session}.journal", JournalInfo(*run, session, "", len(session)), 64 * MIB, "drop")
    log = RowWriter(journal, 0, run.run_id)
    for row in ROWS:
        log.log(row, None, None)
    if not living:
        journal.release()
    return journal


def points(
    account: JournalAccount, session: SessionTally, *, complete: bool = True
) -> list[dict[tuple[str, str], int]]:
    """Return the numbers of points of each series that are in the log, and that are pending."""
    check = check_journal(account, session, complete=complete)
    assert check is not None
    return [{name: one.points for name, one in part.items()} for part in (check.held, check.pending)]


def test_the_journals_of_a_run_are_found_and_counted(tmp_path: Path) -> None:
    a_journal(tmp_path, "one")
    a_journal(tmp_path, "other", RunPath("e", "p", "another"))
    (tmp_path / "none.journal").write_bytes(b"no journal")
    living = a_journal(tmp_path, "living", living=True)
    accounts = find_accounts(tmp_path, RUN)
    living.release()
    assert session_ends(accounts) == {"one": 4, "living": 4}
    assert [(account.living, account.damage) for account in accounts] == [(False, ""), (True, "")]


def test_of_copies_of_a_journal_the_longest_counts(tmp_path: Path) -> None:
    complete = a_journal(tmp_path, "one").path
    for name in ("a.journal", "z.journal"):
        (segment,) = segment_files(Path(shutil.copytree(complete, tmp_path / name)))
        os.truncate(segment, segment.read_bytes().index(b"note"))
    (account,) = find_accounts(tmp_path, RUN)
    assert (account.path, account.records) == (complete, 4)


def test_records_that_the_log_does_not_have_are_pending(tmp_path: Path) -> None:
    a_journal(tmp_path, "one")
    (account,) = find_accounts(tmp_path, RUN)
    assert points(account, SessionTally(4)) == [
        {},
        {("a", "number"): 3, ("note", "string"): 1, ("ok", "bool"): 1},
    ]
    assert points(account, SessionTally(4, first=0, following=3)) == [
        {("a", "number"): 3, ("note", "string"): 1},
        {("ok", "bool"): 1},
    ]
    assert points(account, SessionTally(4, first=2, following=4), complete=False)[0] == {
        ("a", "number"): 1, ("ok", "bool"): 1
    }  # fmt: skip
    assert points(account, SessionTally(4, first=2, following=4))[0][("a", "number")] == 3


def test_records_that_were_set_aside_are_not_expected_in_the_log(tmp_path: Path) -> None:
    path = a_journal(tmp_path, "one").path
    lines = ['{"sequence": 1, "reason": "too large", "values": {}}'] * 2
    set_aside_path(path).write_text("\n".join([*lines, '{"sequence": 3, "rea']))
    (account,) = find_accounts(tmp_path, RUN)
    assert account.set_aside == {1}
    assert points(account, SessionTally(4, first=0, following=4))[0] == {("a", "number"): 2, ("ok", "bool"): 1}
    assert points(account, SessionTally(4, first=2, following=4), complete=False)[0] == {
        ("a", "number"): 1, ("ok", "bool"): 1
    }  # fmt: skip
    check = check_journal(account, SessionTally(4, first=0, following=4), complete=True)
    assert check is not None
    assert len(compare_journals([check._replace(logged=check.held)])[1]) == 1


def test_a_damaged_journal_counts_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    (path,) = segment_files(a_journal(tmp_path, "one").path)
    flip(path, path.read_bytes().index(b"note") + 1)
    (account,) = find_accounts(tmp_path, RUN)
    assert account.records == 1
    assert account.damage.startswith("damaged at byte")


def test_a_journal_that_was_delivered_meanwhile_is_no_matter(tmp_path: Path) -> None:
    a_journal(tmp_path, "one")
    (account,) = find_accounts(tmp_path, RUN)
    shutil.rmtree(account.path)
    assert check_journal(account, SessionTally(4), complete=True) is None
