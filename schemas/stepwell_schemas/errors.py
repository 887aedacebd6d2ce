"""The errors of the shared rules.

StepwellSchemaError
├── IdentifierError (also ValueError)   an entity, project or run id that can't be used
├── KeyRuleError    (also ValueError)   a metric's key that can't be used
├── StepError       (also ValueError)   a step that can't be used
├── UnusableEventError                  an event that goes to the dead letters, with its reason
├── RegistryError                       the schema registry did not answer as it should
└── StoreError                          ClickHouse
    ├── StoreUnavailableError           not reachable now: the same call may succeed later
    │   └── MediaUnavailableError       the same of the object store that holds media files
    ├── StoreRejectedError              the engine refused the statement: a retry will not help
    └── StoreInUseError                 the embedded engine's folder belongs to another process
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

_SHOWN_CHARS: Final = 80


class StepwellSchemaError(Exception):
    """Base of every error that the shared rules raise."""


def shorten(value: object) -> str:
    """Return a value as it is shown in a message: cut after 80 characters, with its length then."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}… ({len(shown):,} characters)"


class RuleError(StepwellSchemaError, ValueError):
    """A value that breaks a rule; names the field, the value and the rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        self.value = value
        self.rule = rule
        super().__init__(f"{field} {shorten(value)}: {rule}")


class IdentifierError(RuleError):
    """An entity, project or run id that can't be used."""


class KeyRuleError(RuleError):
    """A metric's key that can't be used."""


class StepError(RuleError):
    """A step that can't be used."""


class DeadLetterReason(StrEnum):
    """Why an event could not be used; the value travels in the dead letter's `reason` header."""

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
    """An event that can't be used: it goes to the dead letters with `reason` and `detail`."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class RegistryError(StepwellSchemaError):
    """The schema registry could not be reached or refused a schema."""


class StoreError(StepwellSchemaError):
    """ClickHouse did not do what it was asked; `code` is its error code (0 where it gave none)."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class StoreUnavailableError(StoreError):
    """ClickHouse can't be reached now; the same call may succeed later."""


class MediaUnavailableError(StoreUnavailableError):
    """The object store with the media files did not do what it was asked; the same call may succeed later."""


class StoreRejectedError(StoreError):
    """ClickHouse refused the statement; a retry will not help."""


class StoreInUseError(StoreError):
    """The embedded engine's folder is in use by another process."""
