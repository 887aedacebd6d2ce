"""What `finish()` hands back: how much was logged, and how much of it is known to be delivered."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Receipt(NamedTuple):
    """The account of one session of a run.

    Attributes:
        logged: `log()` calls written. delivered, pending: records (rows and events) that the brokers have
            acknowledged, and those still only in the journal.
        conflicts: asked steps below the current one. rejected: values that could not be stored.
        dropped: records there was no room for.
        journal: the journal file; None once it was delivered whole and removed.
        error: why not everything is delivered or could be, "" otherwise.
    """

    run: str
    logged: int = 0
    delivered: int = 0
    pending: int = 0
    conflicts: int = 0
    rejected: int = 0
    dropped: int = 0
    journal: Path | None = None
    error: str = ""

    def __str__(self) -> str:
        parts = [f"{self.run}: {self.logged:,} rows logged, {self.delivered:,} records delivered"]
        named = (("pending", self.pending), ("step conflicts", self.conflicts))
        parts += [f"{count:,} {name}" for name, count in named if count]
        parts += [f"{self.rejected:,} values not storable"] if self.rejected else []
        parts += [f"{self.dropped:,} dropped"] if self.dropped else []
        line = ", ".join(parts)
        line += f" ({self.error})" if self.error else ""
        if self.pending:
            line += f"; deliver them with: stepwell sync {self.journal}"
        return line
