"""The transport of events: the small interface that delivery uses, and the errors of every implementation.

`kafka_transport` sends to the brokers, `http_transport` to the gateway. Both promise the same: an event whose future is
done is stored by all in-sync replicas, and the events of a run are stored in the order of sending. What is sent again
after a failure may be stored twice; records carry their session and sequence, so it counts once.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from stepwell.delivery.blocked import Blocked
from stepwell.errors import StepwellError


class TransportError(StepwellError):
    """Events could not be sent now; a new transport may send them later.

    Attributes:
        remedy: what to do, "" if there is nothing to do but wait, or if the message says it.
        blocked: the reason as a code, None if the error's cause tells it.
        retriable: whether the same may succeed later without a change of keys or configuration.
        retry_after: seconds that the service asked to wait, 0 if it has not.
    """

    retriable = True

    def __init__(
        self,
        message: str = "",
        remedy: str = "",
        *,
        blocked: Blocked | None = None,
        retry_after: float = 0.0,
        retriable: bool | None = None,
    ) -> None:
        self.remedy = remedy
        self.blocked = blocked
        self.retry_after = retry_after
        if retriable is not None:
            self.retriable = retriable
        super().__init__(message)


class StalledError(TransportError):
    """Nothing was acknowledged for some time while events were pending."""


class RefusedError(TransportError):
    """Events were refused, and would be again."""

    retriable = False


class EventTooLargeError(TransportError):
    """An event is larger than what is accepted; nothing that was sent after it is stored."""


class AfterRefusalError(TransportError):
    """An event was sent after a refused one, perhaps of another journal, and is not stored."""


class Transport(Protocol):
    """Sends events until it fails. After an error, only `stop` and, after a refused size, `renew` may be called."""

    @property
    def cluster_id(self) -> str:
        """Id of the Kafka cluster, "" if it is not known."""

    @property
    def generation(self) -> int:
        """Number that increases with each renewal; futures of an earlier generation are never done."""

    @property
    def max_message_bytes(self) -> int:
        """The largest record batch that is accepted, compressed, as far as it is known."""

    async def send(self, payload: bytes, key: bytes) -> asyncio.Future[object]:
        """Hand an event over for sending; the future is done when it is acknowledged.

        Raises: TransportError.
        """

    async def wait(self, future: asyncio.Future[object]) -> None:
        """Wait for an acknowledgement. Raises: TransportError."""

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Start again after a refused size; `max_message_bytes` is a limit that was learned from it.

        Raises: NotConnectedError.
        """

    async def stop(self) -> None:
        """Close all connections immediately. What is not acknowledged is not waited for."""
