"""The errors of the SDK.

StepwellError (`stepwell.Error`)
├── UsageError         a call in the wrong state: log() before init() or after finish()
│   ├── UnsupportedError   a feature of wandb that Stepwell lacks; the message says what to do instead
│   └── ConfigError        wandb's error for a changed key of `config`, which libraries catch; not raised here
├── SettingsError      settings that can't be used: names the setting and the rule
├── JournalError       a journal that can't be written or read
│   └── NotAJournalError   the file is not a Stepwell journal, or one of another format version
├── StopRequestedError  someone asked the run to stop, and STEPWELL_STOP is `raise`
├── ResumeError        `resume=` can't be satisfied
├── NotConnectedError  neither the brokers nor the service can be reached
├── CredentialsError   the file with keys can't be read or written
└── ApiError           the query service can't be reached, or rejected the request
    ├── AuthenticationError  the service requires a key, or refuses the one that was sent
    ├── RunNotFoundError   the run does not exist
    ├── UnknownKeyError    the run has not logged a requested key
    └── MediaMissingError  the bytes of a media file are missing; its `state` says why

Inside `log()`, which reports them and continues:
├── UnstorableError (ValueError)  a value that can't be stored
└── NoRoomError                   the journal has no room for a media file

Errors of the shared rules (`stepwell_schemas.errors`) pass through: IdentifierError and StepError are ValueErrors.
"""

from __future__ import annotations

from collections.abc import Sequence


class StepwellError(Exception):
    """Base of every error of the SDK."""


Error = StepwellError
"""wandb's name."""


class UsageError(StepwellError):
    """A call in the wrong state: before `init()`, or after `finish()`."""


class UnsupportedError(UsageError):
    """A feature of wandb that Stepwell lacks; the message says what to do instead."""


class ConfigError(UsageError):
    """wandb's error for a key of `config` set to another value, which libraries catch; here the new value holds."""


class StopRequestedError(StepwellError):
    """Someone asked the run to stop; raised by `log()` if STEPWELL_STOP is `raise`."""


class SettingsError(StepwellError, ValueError):
    """A setting has a value that can't be used."""


class JournalError(StepwellError):
    """A journal can't be written or read."""


class NotAJournalError(JournalError):
    """The file is not a journal, or one of a format version that this release can't read."""


class ResumeError(StepwellError):
    """The run can't be resumed in the requested way."""


class NotConnectedError(StepwellError):
    """Neither the brokers nor the service can be reached; the same call may succeed later.

    Attributes:
        remedy: what to do, "" if there is nothing to do but wait, or if the message says it.
        blocked: the reason as a code of the receipt, None if the error's cause tells it.
    """

    def __init__(self, message: str = "", remedy: str = "", blocked: str | None = None) -> None:
        self.remedy = remedy
        self.blocked = blocked
        super().__init__(message)


class CredentialsError(StepwellError):
    """The file with keys can't be read or written."""


class ApiError(StepwellError):
    """The query service can't be reached, or rejected the request; the message quotes its answer."""


CommError = ApiError
"""wandb's name."""


class AuthenticationError(ApiError):
    """The service requires a key, or refuses the one that was sent."""


class RunNotFoundError(ApiError):
    """The service does not know the run."""


class UnknownKeyError(ApiError):
    """The run has not logged the requested `keys`."""

    def __init__(self, keys: Sequence[str], message: str) -> None:
        self.keys = list(keys)
        super().__init__(message)


class MediaMissingError(ApiError):
    """The bytes of a media file are missing.

    Attributes:
        state: `pending`: a logged value refers to them, and they have not arrived; `unknown`: no value refers to them;
            `gone`: they were stored and have been removed.
    """

    def __init__(self, state: str, message: str) -> None:
        self.state = state
        super().__init__(message)


class UnstorableError(ValueError):
    """A value that can't be stored; the message is the rule that it breaks."""


class NoRoomError(Exception):
    """The journal has no room for a media file; the `log()` call is dropped, as any row without room."""
