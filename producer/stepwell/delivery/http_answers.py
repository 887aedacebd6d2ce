"""Answers of a gateway, and of proxies before it, as the SDK's errors: the reason, its code and the remedy."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, Self

import httpx

from stepwell.delivery.blocked import Blocked
from stepwell.delivery.transport import EventTooLargeError, RefusedError, StalledError, TransportError
from stepwell.errors import NotConnectedError
from stepwell.service_errors import KEY_REMEDY, describe_unanswered

_URN: Final = "urn:stepwell:problem:"
_LONGEST_WAIT: Final = 300.0
_TOO_LARGE: Final = 413
_NO_GATEWAY_REMEDY: Final = "set STEPWELL_TRANSPORT=kafka, or let the service's address serve the gateway, too"


class Answer(NamedTuple):
    """An answer: its status, and of a problem document the type, the detail and the remedies.

    Attributes:
        retry_after: seconds that it asks to wait, 0 if it does not.
        location: the address that a redirect names.
        event_bytes: bytes that an event may have, if the answer says it, otherwise 0.
    """

    status: int
    kind: str = ""
    detail: str = ""
    retry_after: float = 0.0
    location: str = ""
    event_bytes: int = 0

    @classmethod
    def read(cls, response: httpx.Response) -> Self:
        """Read a response; proxies answer with anything."""
        if response.is_success:
            return cls(response.status_code)
        body: Any = None
        if "json" in response.headers.get("content-type", ""):
            try:
                body = response.json()
            except ValueError:
                body = None
        problem = body if isinstance(body, dict) else {}
        detail, most = str(problem.get("detail") or ""), problem.get("event_bytes")
        return cls(
            response.status_code,
            str(problem.get("type") or "").removeprefix(_URN),
            detail,
            _seconds(response.headers.get("retry-after", "")),
            response.headers.get("location", ""),
            most if isinstance(most, int) and most > 0 else 0,
        )

    @property
    def is_too_large(self) -> bool:
        """True if the request is too large, and none of its events by itself: a limit of the gateway or of a proxy."""
        return self.status == _TOO_LARGE and self.kind != "event-too-large"


def _seconds(text: str) -> float:
    """Return the seconds of a `Retry-After`, bounded; a date is not read."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else 0.0


def error_from(answer: Answer, url: str, event_bytes: int) -> TransportError | None:
    """Return the error that an answer stands for, None if all events are acknowledged.

    `event_bytes`: size of the request's first event, of its only one if the request is too large.
    """
    said = answer.detail or f"it answers {answer.status}"
    match answer.status:
        case 200:
            return None
        case 401 | 403:
            text = f"{url} refuses the key: {said}"
            return TransportError(text, KEY_REMEDY, blocked=Blocked.NOT_AUTHORIZED, retriable=False)
        case 404 | 405 | 501:
            text = f"{url} takes no events: {said}"
            # A proxy answers so, too, while the gateway that it is to reach starts.
            final = bool(answer.kind)
            return TransportError(text, _NO_GATEWAY_REMEDY, blocked=Blocked.NO_GATEWAY, retriable=not final)
        case 413:
            return EventTooLargeError(f"{event_bytes:,} bytes: {said}", blocked=Blocked.MESSAGE_TOO_LARGE)
        case 408:
            return StalledError(f"{url}: {said}", blocked=Blocked.NO_ACKNOWLEDGEMENT)
        case 400 | 415 | 422:
            return RefusedError(f"{url} refuses events: {said}", blocked=Blocked.BROKER_ERROR)
        case 429:
            text = f"{url} limits requests: {said}"
            return TransportError(text, blocked=Blocked.NO_ACKNOWLEDGEMENT, retry_after=answer.retry_after)
        case status if 300 <= status < 400:
            remedy = f"set STEPWELL_BASE_URL to the address that {answer.location or 'the answer'} names"
            return TransportError(f"{url} answers {status}", remedy, blocked=Blocked.NO_GATEWAY, retriable=False)
        case status if 400 <= status < 500 and answer.kind:
            # Such as an unknown host, or a head that is too large: the detail has the remedy.
            return TransportError(f"{url} refuses requests: {said}", blocked=Blocked.NO_GATEWAY, retriable=False)
    blocked = Blocked.NO_BROKER if answer.kind == "kafka-unavailable" else Blocked.NO_ACKNOWLEDGEMENT
    return TransportError(f"{url}: {said}", blocked=blocked, retry_after=answer.retry_after)


def unanswered(url: str, error: Exception) -> NotConnectedError:
    """Return the error of a request without an answer."""
    return NotConnectedError(*describe_unanswered(url.partition("/api/")[0], error))
