"""Errors of the query service; `api/problems.py` maps them to problem documents.

QueryError
├── NotFoundError           404   the resource that the path names does not exist
│   ├── RunNotFoundError
│   ├── SessionNotFoundError
│   ├── ProjectNotFoundError
│   ├── KeyNotFoundError
│   └── MediaNotFoundError
├── RunDeletedError         410   the session's run was deleted
├── ClientGoneError         499   the client has disconnected
├── TooBusyError            503   too many statements are running or waiting
├── TooManyStreamsError     429   too many event streams of one client; 503: of all clients
├── RangeError              416   the range of bytes lies outside the file
└── RequestError            422   an invalid parameter, with field, value, rule and remedy
    ├── UnknownKeysError          keys that the run has not logged
    ├── SqlRefusedError           a statement that is not read-only, or accesses more than Stepwell's database
    └── FilterError               a filter of runs that can't be parsed (in `runs.filters.ast`)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stepwell_schemas.rules.identifiers import RunPath


class QueryError(Exception):
    """Base of every error that the query service raises itself."""


class NotFoundError(QueryError):
    """The resource that the path names does not exist."""


class RunNotFoundError(NotFoundError):
    """No run has this path."""

    def __init__(self, run: RunPath) -> None:
        self.run = run
        super().__init__(
            f"there is no run {str(run)!r}; a run appears with its first event, "
            f"GET /api/v1/projects/{{entity}}/{{project}}/runs lists them"
        )


class SessionNotFoundError(NotFoundError):
    """No record of this session is stored."""

    def __init__(self, run: RunPath, session: str) -> None:
        super().__init__(
            f"there is no session {session!r} of {str(run)!r}; a session appears with its first flush, "
            f"GET /api/v1/runs/{{entity}}/{{project}}/{{run_id}}/sessions lists them"
        )


class RunDeletedError(QueryError):
    """The run of a session was deleted, and nothing that the session sends is stored."""

    def __init__(self, run: RunPath, session: str) -> None:
        super().__init__(
            f"the run {str(run)!r} of session {session!r} was deleted; records that the session still sends are "
            "dropped, a new session begins a new run"
        )


class ProjectNotFoundError(NotFoundError):
    """No run has been logged to this project."""

    def __init__(self, entity: str, project: str) -> None:
        self.entity = entity
        self.project = project
        super().__init__(
            f"there is no project {entity + '/' + project!r}; a project appears with its first run, "
            f"GET /api/v1/projects lists them"
        )


class KeyNotFoundError(NotFoundError):
    """No key that the identity administers has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id!r} that you administer; GET /api/v1/keys lists them")


class MediaNotFoundError(NotFoundError):
    """The bytes of a media file are not available.

    Attributes:
        state: `pending`, a logged value refers to the file, but it is not stored yet; `unknown`, no logged value refers
            to it; `gone`, it was stored and has been deleted.
    """

    def __init__(self, state: Literal["pending", "unknown", "gone"], message: str) -> None:
        self.state = state
        super().__init__(message)


class ClientGoneError(QueryError):
    """The client has disconnected."""


class TooBusyError(QueryError):
    """Too many statements are running or waiting; the request may be repeated later."""


class TooManyStreamsError(QueryError):
    """The limit of event streams is reached, for this client or in total."""

    def __init__(self, most: int, *, per_client: bool) -> None:
        self.per_client = per_client
        super().__init__(
            f"{most:,} event streams are open{' by this client' if per_client else ''}; close some of them"
        )


class RangeError(QueryError):
    """The range of bytes lies outside the file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the file has {size:,} bytes; request a range within them")


class RequestError(QueryError):
    """An invalid parameter, with the rule that it violates and the remedy.

    `column` is the position of the error in the value, from 1, if known.
    """

    def __init__(self, field: str, value: object, rule: str, remedy: str, column: int | None = None) -> None:
        self.column = column
        self.field = field
        self.value = value
        self.rule = rule
        self.remedy = remedy
        super().__init__(f"{field}: {rule}; {remedy}")


class UnknownKeysError(RequestError):
    """The run has not logged `keys`."""

    def __init__(self, keys: Sequence[str], remedy: str) -> None:
        self.keys = list(keys)
        super().__init__("key", self.keys[0], f"the run has not logged {', '.join(map(repr, keys))}", remedy)


class SqlRefusedError(RequestError):
    """A statement that is not read-only, or accesses more than Stepwell's database."""

    def __init__(self, sql: str, rule: str, remedy: str, column: int | None = None) -> None:
        super().__init__("sql", sql, rule, remedy, column)
