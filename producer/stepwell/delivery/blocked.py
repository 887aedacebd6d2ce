"""Reasons why the records of a run are not delivered, with the stable codes of the receipt's `blocked`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Blocked(StrEnum):
    """The reason why delivery is blocked now."""

    NOTHING = ""
    """Delivery works."""
    NO_BROKER = "no-broker"
    """No broker can be reached, by the SDK or by the gateway, or no service names one."""
    NO_TOPIC = "no-topic"
    """The events topic does not exist."""
    NO_GATEWAY = "no-gateway"
    """The service takes no events over HTTP."""
    NOT_AUTHORIZED = "not-authorized"
    """The credentials are refused, or writing to the topic or the project."""
    NO_ACKNOWLEDGEMENT = "no-acknowledgement"
    """The brokers or the gateway were reached and don't acknowledge what was sent."""
    MESSAGE_TOO_LARGE = "message-too-large"
    """An event is refused because of its size; it is being cut or set aside."""
    OLDER_JOURNAL = "older-journal"
    """An older journal of this run has to be delivered first."""
    BROKER_ERROR = "broker-error"
    """The brokers or the gateway answer with another error."""
    SENDER_STOPPED = "sender-stopped"
    """The sender thread could not start, or has had an error; it is tried again."""


_NO_TOPIC: Final = ("UnknownTopicOrPartitionError", "InvalidTopicError")
_NOT_AUTHORIZED: Final = (
    "TopicAuthorizationFailedError",
    "ClusterAuthorizationFailedError",
    "AuthenticationFailedError",
    "SaslAuthenticationFailed",
    "UnsupportedSaslMechanismError",
    "IllegalSaslStateError",
)
_TOO_LARGE: Final = ("MessageSizeTooLargeError", "RecordListTooLargeError", "EventTooLargeError")
_REASONS: Final[dict[str, Blocked]] = {
    **dict.fromkeys(_NO_TOPIC, Blocked.NO_TOPIC),
    **dict.fromkeys(_NOT_AUTHORIZED, Blocked.NOT_AUTHORIZED),
    **dict.fromkeys(_TOO_LARGE, Blocked.MESSAGE_TOO_LARGE),
    "StalledError": Blocked.NO_ACKNOWLEDGEMENT,
    "NotConnectedError": Blocked.NO_BROKER,
    "KafkaConnectionError": Blocked.NO_BROKER,
    "NodeNotReadyError": Blocked.NO_BROKER,
    "KafkaError": Blocked.BROKER_ERROR,
    "OSError": Blocked.NO_BROKER,
    "TimeoutError": Blocked.NO_BROKER,
}


def classify_error(error: BaseException) -> Blocked:
    """Return the reason that an error of a transport or of the service stands for.

    Some errors have it. Otherwise, the error's causes are searched first, since they are more specific. Classes are
    compared by name: this module is imported by `init()`, which does not wait for the import of aiokafka.
    """
    blocked = getattr(error, "blocked", None)
    if blocked is not None:
        return Blocked(blocked)
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__
    for cause in reversed(causes):
        for kind in type(cause).__mro__:
            if kind.__name__ in _REASONS:
                return _REASONS[kind.__name__]
    return Blocked.BROKER_ERROR
