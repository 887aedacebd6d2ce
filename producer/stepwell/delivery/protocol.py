"""Delivery of a session's journals, as the session sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stepwell.delivery.blocked import Blocked

if TYPE_CHECKING:
    from stepwell.journal.journal import Journal


class Delivery(Protocol):
    """Delivery of a session's journals during the run."""

    @property
    def error(self) -> str:
        """Reason why nothing is delivered now, "" if delivery works."""

    @property
    def blocked(self) -> Blocked:
        """Reason why nothing is delivered now, as a code."""

    @property
    def set_aside(self) -> int:
        """Number of records that could not be delivered and were set aside."""

    @property
    def content(self) -> int:
        """Content of the session's acknowledged rows (`rules.content`)."""

    @property
    def recovered(self) -> int:
        """Number of records delivered from orphaned journals."""

    def start(self) -> None:
        """Start delivery."""

    def add_journal(self, journal: Journal) -> None:
        """Deliver another journal of this session, too."""

    def expect_forks(self) -> None:
        """Check regularly for orphaned journals of forked children."""

    def drain(self, timeout: float) -> None:
        """Deliver the remaining records, for at most `timeout` seconds, and stop."""

    def remove_recovered(self) -> None:
        """Remove the journals of earlier sessions that were delivered."""


class NoDelivery:
    """No-op delivery for offline and disabled runs."""

    error = ""
    blocked = Blocked.NOTHING
    set_aside = 0
    content = 0
    recovered = 0

    def start(self) -> None:
        """Do nothing."""

    def add_journal(self, journal: Journal) -> None:
        """Do nothing: the journal stays in its folder."""

    def expect_forks(self) -> None:
        """Do nothing: journals of children stay in their folder."""

    def drain(self, timeout: float) -> None:
        """Do nothing."""

    def remove_recovered(self) -> None:
        """Do nothing."""
