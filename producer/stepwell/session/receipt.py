"""What `finish()` hands back: how much was logged, how much of it is delivered, and what is known to be stored."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Receipt(NamedTuple):
    """The account of one session of a run.

    Attributes:
        logged, points: `log()` calls and values written. delivered, pending: records (rows and events) that the
            brokers have acknowledged, and those still only in the journal.
        stored: values of this session that the service has stored; None where it could not be asked.
        stored_note: why it was not, or why its account is not whole; "" otherwise.
        conflicts: asked steps below the current one. dead_letters: events that could not be used.
        rejected: values that could not be stored. dropped: records there was no room for.
        recovered: records delivered of earlier sessions and of forked processes.
        lines_dropped: lines of the console output that were printed and not kept.
        pending_beside: records of system metrics and console output that are still only in `journals_beside`.
        journal: the journal file; None once it was delivered whole and removed.
        error: why not everything is delivered or could be, "" otherwise.
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

    def __str__(self) -> str:
        parts = [f"{self.run}: {self.logged:,} rows ({self.points:,} points) logged"]
        parts.append(f"{self.delivered:,} records delivered")
        parts += [] if self.stored is None else [f"{self.stored:,} points stored"]
        parts += [f"stored: {self.stored_note}"] if self.stored_note else []
        named = (
            ("pending", self.pending),
            ("step conflicts", self.conflicts),
            ("dead letters", self.dead_letters),
            ("values not storable", self.rejected),
            ("dropped", self.dropped),
            ("records recovered", self.recovered),
            ("console lines not kept", self.lines_dropped),
            ("records of system metrics and console pending", self.pending_beside),
        )
        parts += [f"{count:,} {name}" for name, count in named if count]
        line = ", ".join(parts)
        line += f" ({self.error})" if self.error else ""
        journals = [self.journal] if self.pending and self.journal else []
        journals += self.journals_beside if self.pending_beside else []
        if journals:
            line += f"; deliver them with: stepwell sync {' '.join(map(str, journals))}"
        return line
