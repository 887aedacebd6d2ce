"""The errors of the shared rules.

StepwellSchemaError
├── IdentifierError (also ValueError)   invalid entity, project or run id
├── KeyRuleError    (also ValueError)   invalid metric key
├── GrantError      (also ValueError)   invalid grant of access
├── KeyFieldError   (also ValueError)   invalid field of a new API key
├── StepError       (also ValueError)   invalid step
├── FramingError                        a body of several events that can't be split into them
├── ExpansionError                      data that is larger, decompressed, than a limit
├── UnusableEventError                  an event that becomes a dead letter, with the reason
├── ExposedServiceError                 a service without access control would be reachable from other machines
├── RegistryError                       the schema registry can't be reached or refused a schema
├── KafkaUnavailableError               the brokers can't be reached, or lack the topic
├── TopicError                          the Kafka topics can't be what the settings say
├── TokenError                          a token of the identity provider is not valid here
├── ProviderError                       the identity provider can't be reached, or does not answer as one
├── TlsError                            a certificate or key file can't be used
└── StoreError                          ClickHouse failed
    ├── StoreUnavailableError           temporarily: the same call may succeed later
    │   └── MediaUnavailableError       the same for the object store with media files
    ├── StoreRejectedError              the statement was refused: a retry will not help
    └── StoreInUseError                 another process uses the embedded engine's folder
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

_SHOWN_CHARS: Final = 80


class StepwellSchemaError(Exception):
    """Base of the errors in this package."""


def shorten(value: object) -> str:
    """Return the repr of a value for a message; truncated after 80 characters, with its length."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}… ({len(shown):,} characters)"


class RuleError(StepwellSchemaError, ValueError):
    """A value that violates a rule; the message names the field, the value and the rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        self.value = value
        self.rule = rule
        super().__init__(f"{field} {shorten(value)}: {rule}")


class IdentifierError(RuleError):
    """An invalid entity, project or run id."""


class KeyRuleError(RuleError):
    """An invalid metric key."""


class GrantError(RuleError):
    """An invalid scope, or an invalid resource of a grant."""


class KeyFieldError(RuleError):
    """An invalid name, owner, expiry or list of scopes of a new API key."""


class RetentionError(RuleError):
    """An invalid period of a retention policy."""


class StepError(RuleError):
    """An invalid step."""


class KafkaUnavailableError(StepwellSchemaError):
    """The brokers can't be reached, or lack the topic; the same call may succeed later.

    Attributes:
        has_remedy: whether the text says what to do.
    """

    def __init__(self, message: str, *, has_remedy: bool = False) -> None:
        self.has_remedy = has_remedy
        super().__init__(message)


class TopicError(StepwellSchemaError):
    """The Kafka topics can't be what the settings say; the text has the reason and the remedy."""


class TlsError(StepwellSchemaError):
    """A certificate, key or file of authorities can't be used; the text names the setting, the file and the remedy."""


class TokenError(StepwellSchemaError):
    """A token of the identity provider is not valid here; the text has the reason, and never the token."""


class ProviderError(StepwellSchemaError):
    """The identity provider can't be reached, or does not answer as its protocol says; a retry may succeed."""


class ExposedServiceError(StepwellSchemaError):
    """A service without access control would be reachable from other machines."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"{host!r} is reachable from other machines, and this service requires no key: set STEPWELL_ADMIN_KEY to "
            "the output of `openssl rand -hex 32`, or create a first key with `stepwell keys bootstrap`, or listen on "
            "127.0.0.1"
        )


class DeadLetterReason(StrEnum):
    """The reason why an event could not be used, as in the dead letter's `reason` header."""

    UNREADABLE = "unreadable"
    UNKNOWN_FRAMING = "unknown_framing"
    UNKNOWN_SCHEMA = "unknown_schema"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    BAD_IDENTIFIER = "bad_identifier"
    BAD_KEY = "bad_key"
    BAD_STEP = "bad_step"
    BAD_VALUE = "bad_value"
    BAD_MEDIA = "bad_media"
    UNUSABLE = "unusable"


class UnusableEventError(StepwellSchemaError):
    """An event that can't be used; it becomes a dead letter with `reason` and `detail`."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class FramingError(StepwellSchemaError):
    """A body of several events that can't be split into them; `index` is the event at which it is wrong, from 0."""

    def __init__(self, index: int, rule: str) -> None:
        self.index = index
        self.rule = rule
        super().__init__(f"event {index}: {rule}")


class ExpansionError(StepwellSchemaError):
    """Data that is larger, decompressed, than a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"it has more than {limit:,} bytes after decompression")


class RegistryError(StepwellSchemaError):
    """The schema registry could not be reached or refused a schema."""


class StoreError(StepwellSchemaError):
    """A ClickHouse call failed; `code` is ClickHouse's error code, 0 if there is none."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class StoreUnavailableError(StoreError):
    """ClickHouse can't be reached now; the same call may succeed later."""


class MediaUnavailableError(StoreUnavailableError):
    """A call of the object store with media files failed; the same call may succeed later."""


class StoreRejectedError(StoreError):
    """ClickHouse refused the statement; a retry will not help."""


class StoreInUseError(StoreError):
    """The embedded engine's folder is in use by another process."""
