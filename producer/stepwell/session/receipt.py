"""The receipt that `finish()` returns: numbers of logged, delivered and stored records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stepwell.delivery.stored_content import describe_content


class Receipt(NamedTuple):
    """The result of one session of a run.

    Attributes:
        logged, points: `log()` calls and values written. delivered, pending: records (rows and events) that the
            brokers have acknowledged, and those that are still only in the journal.
        stored: values of this session that the service has stored; None if unknown.
        content_same: whether the stored rows are the logged ones: the same keys, values and steps. None if that is
            unknown: records are pending, no service answers, or it does not know the content. False also if records
            were dropped, set aside, or became dead letters.
        moved: rows stored at other steps than the session counted, since the run already had rows there.
        stored_note: reason why `stored` is unknown or incomplete, "" if it is complete.
        conflicts: calls with a step below the current one. dead_letters: events that the ingestor could not process.
        rejected: values that could not be stored. dropped: records for which there was no room.
        recovered: records delivered from orphaned journals of earlier sessions and forked processes.
        lines_dropped: printed console lines that were not recorded.
        pending_beside: records of system metrics and console output that are still only in `journals_beside`.
        journal: the journal, a folder; None if it was delivered in full and removed.
        error: reason why delivery is incomplete, "" if it is complete.
        blocked: the same as a stable code: no-broker, no-topic, not-authorized, no-acknowledgement, message-too-large,
            older-journal, broker-error or sender-stopped; "" if nothing is pending.
        set_aside: records that can't be delivered, most often because they are larger than the topic accepts.
        set_aside_files: the files in which they are kept.
    """

    run: str
    logged: int = 0
    points: int = 0
    delivered: int = 0
    pending: int = 0
    stored: int | None = None
    stored_note: str = ""
    conflicts: int = 0
    dead_letters: int = 0
    rejected: int = 0
    dropped: int = 0
    recovered: int = 0
    lines_dropped: int = 0
    pending_beside: int = 0
    journals_beside: tuple[Path, ...] = ()
    journal: Path | None = None
    error: str = ""
    blocked: str = ""
    set_aside: int = 0
    set_aside_files: tuple[Path, ...] = ()
    content_same: bool | None = None
    moved: int = 0

    def __str__(self) -> str:
        parts = [f"{self.run}: {self.logged:,} rows ({self.points:,} points) logged"]
        parts.append(f"{self.delivered:,} records delivered")
        parts += [] if self.stored is None else [f"{self.stored:,} points stored"]
        parts += [f"stored: {self.stored_note}"] if self.stored_note else []
        parts += [] if self.content_same is None else [describe_content(same=self.content_same)]
        named = (
            ("pending", self.pending),
            ("step conflicts", self.conflicts),
            ("rows moved to later steps", self.moved),
            ("dead letters", self.dead_letters),
            ("values rejected", self.rejected),
            ("dropped", self.dropped),
            ("records set aside", self.set_aside),
            ("records recovered", self.recovered),
            ("console lines dropped", self.lines_dropped),
            ("records of system metrics and console pending", self.pending_beside),
        )
        parts += [f"{count:,} {name}" for name, count in named if count]
        line = ", ".join(parts)
        line += f" ({self.error})" if self.error else ""
        journals = [self.journal] if self.pending and self.journal else []
        journals += self.journals_beside if self.pending_beside else []
        if journals:
            line += f"; to deliver them: stepwell sync {' '.join(map(str, journals))}"
        return line


def find_set_aside_files(journals: Iterable[Path]) -> tuple[Path, ...]:
    """Return the existing files with records of these journals that can't be delivered."""
    # Imported here: it imports the codecs of events, which most runs have no use for.
    from stepwell.delivery.set_aside import set_aside_path

    return tuple(path for path in map(set_aside_path, journals) if path.exists())
