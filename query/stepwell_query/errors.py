"""The errors of the query service; `api/problems.py` says which HTTP status each becomes.

QueryError
├── NotFoundError           404   what the path names does not exist
│   ├── RunNotFoundError
│   ├── SessionNotFoundError
│   ├── ProjectNotFoundError
│   └── MediaNotFoundError
├── ClientGoneError         499   whoever sent the request has left: nobody reads the answer
├── TooBusyError            503   too many statements run or wait
├── TooManyStreamsError     429   of a client, 503 of all: no further stream of events can be opened
├── RangeError              416   a range of bytes that lies outside the file
└── RequestError            422   a parameter that can't be used: its field, value, rule and remedy
    ├── SqlRefusedError           a statement that is not read-only, or reaches beyond Stepwell's database
    └── FilterError               a filter of runs that can't be understood (in `filters.tree`)
"""

from __future__ import annotations

from typing import Literal

from stepwell_schemas.rules.identifiers import RunPath


class QueryError(Exception):
    """Base of every error that the query service raises itself."""


class NotFoundError(QueryError):
    """What the path names does not exist."""


class RunNotFoundError(NotFoundError):
    """No run has this path."""

    def __init__(self, run: RunPath) -> None:
        self.run = run
        super().__init__(
            f"there is no run {str(run)!r}; a run appears with its first event, "
            f"GET /api/v1/projects/{{entity}}/{{project}}/runs lists them"
        )


class SessionNotFoundError(NotFoundError):
    """Nothing of this session is stored."""

    def __init__(self, run: RunPath, session: str) -> None:
        super().__init__(
            f"nothing of a session {session!r} of {str(run)!r} is stored; it appears with its first flush, "
            f"GET /api/v1/runs/{{entity}}/{{project}}/{{run_id}}/sessions lists them"
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


class MediaNotFoundError(NotFoundError):
    """The bytes of a media file are not here.

    Attributes:
        state: `pending`, a logged value refers to them and they have not come; `unknown`, none does; `gone`, they were
            stored and are no more.
    """

    def __init__(self, state: Literal["pending", "unknown", "gone"], message: str) -> None:
        self.state = state
        super().__init__(message)


class ClientGoneError(QueryError):
    """Whoever sent the request has left."""


class TooBusyError(QueryError):
    """Too many statements run or wait; the same one may be sent again later."""


class TooManyStreamsError(QueryError):
    """No further stream of events can be opened, by this client or by any."""

    def __init__(self, most: int, *, of_client: bool) -> None:
        self.of_client = of_client
        super().__init__(f"{most:,} streams of events are open{' by this client' if of_client else ''}; close some")


class RangeError(QueryError):
    """A range of bytes that lies outside the file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the file has {size:,} bytes; ask for a range within them")


class RequestError(QueryError):
    """A parameter that can't be used; says which rule it breaks and what to do instead.

    `column` is the place in the value where it breaks the rule, from 1, where there is one.
    """

    def __init__(self, field: str, value: object, rule: str, remedy: str, column: int | None = None) -> None:
        self.column = column
        self.field = field
        self.value = value
        self.rule = rule
        self.remedy = remedy
        super().__init__(f"{field}: {rule}; {remedy}")


class SqlRefusedError(RequestError):
    """A statement that is not read-only, or reaches beyond Stepwell's database."""

    def __init__(self, sql: str, rule: str, remedy: str, column: int | None = None) -> None:
        super().__init__("sql", sql, rule, remedy, column)
