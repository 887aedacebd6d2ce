"""Result of the delivery of one journal, as `stepwell sync` reports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stepwell.delivery.stored_content import describe_content


class SyncResult(NamedTuple):
    """Result of the delivery of one journal.

    Attributes:
        sent, sent_bytes: records delivered by this call, and their bytes in the journal.
        delivered: records delivered in total.
        error: reason why delivery stopped early, "" if it did not.
        left_bytes: bytes that are not delivered.
        removed: whether the journal was removed; `note` says why not, "" if there is nothing to say.
        content_same: whether the stored rows are those of the journal; None if that is unknown, or not stored yet.
    """

    path: Path
    run: str = ""
    sent: int = 0
    delivered: int = 0
    error: str = ""
    writer: str = ""
    sent_bytes: int = 0
    left_bytes: int = 0
    removed: bool = False
    note: str = ""
    content_same: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {**self._asdict(), "path": str(self.path)}

    def __str__(self) -> str:
        parts = [f"{self.run or self.path}: {self.sent:,} records sent, {self.delivered:,} delivered in total"]
        parts += [f"writer {self.writer}"] if self.writer else []
        parts += [f"{self.sent_bytes:,} bytes"] if self.sent_bytes else []
        parts += [f"{self.left_bytes:,} bytes remain in {self.path}"] if self.left_bytes else []
        parts += [] if self.content_same is None else [describe_content(same=self.content_same)]
        reason = self.error or self.note or ("journal removed" if self.removed else "")
        return ", ".join(parts) + (f"; {reason}" if reason else "")
