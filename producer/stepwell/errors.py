"""The errors of the SDK.

StepwellError (`stepwell.Error`)
├── UsageError         a call that has no meaning now: log() before init() or after finish()
│   └── UnsupportedError   something of wandb's that Stepwell has not; the message says what to do instead
├── SettingsError      settings that can't be used: names the setting and the rule
├── JournalError       a journal that can't be written or read
│   └── NotAJournalError   the file is no journal of ours, or of a newer version
├── ResumeError        `resume=` asks for what the service does not have
├── NotConnectedError  neither brokers nor a service can be reached now
└── ApiError           the query service could not be asked, or refused
    ├── RunNotFoundError   there is no such run
    └── MediaMissingError  the bytes of a media file are not there; its `state` says why

Inside `log()`, which reports them and goes on:
├── UnstorableError (ValueError)  a value that can't be stored
└── NoRoomError                   the journal has no room for a media file

Errors of the shared rules (`stepwell_schemas.errors`) pass through: IdentifierError and StepError are ValueErrors.
"""

from __future__ import annotations


class StepwellError(Exception):
    """Base of every error of the SDK."""


class UsageError(StepwellError):
    """A call that has no meaning now: before `init()`, or after `finish()`."""


class UnsupportedError(UsageError):
    """Something that wandb has and Stepwell has not; the message says what to do instead."""


class SettingsError(StepwellError, ValueError):
    """A setting has a value that can't be used."""


class JournalError(StepwellError):
    """A journal can't be written or read."""


class NotAJournalError(JournalError):
    """The file is no journal, or one of a version this release does not know."""


class ResumeError(StepwellError):
    """A run could not be resumed as asked."""


class NotConnectedError(StepwellError):
    """Neither brokers nor a service can be reached now; later the same call may succeed."""


class ApiError(StepwellError):
    """The query service could not be asked, or refused; the message has its words."""


CommError = ApiError
"""wandb's name."""


class RunNotFoundError(ApiError):
    """The service knows no such run."""


class MediaMissingError(ApiError):
    """The bytes of a media file are not there.

    Attributes:
        state: `pending`, a logged value refers to them and they have not come; `unknown`, none does; `gone`, they were
            stored and are no more.
    """

    def __init__(self, state: str, message: str) -> None:
        self.state = state
        super().__init__(message)


class UnstorableError(ValueError):
    """A value that can't be stored; the message is the rule."""


class NoRoomError(Exception):
    """The journal has no room for a media file: the call that logs it is dropped, as any row without room."""
