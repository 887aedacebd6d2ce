"""Errors of the gateway; `problems.py` maps them to problem documents.

GatewayError
├── NotWrittenError         503   the brokers can't be reached, or don't acknowledge in time
├── BufferFullError         503   too many bytes wait for the brokers
├── BodyError               400   a body that can't be split into events
├── MediaTypeError          415   a body of another type or coding than events have
├── ForbiddenEventsError    403   events of a project that the key may not write to
├── NoStoreError            503   a change of stored runs, without a ClickHouse that has them
├── RunsNotFoundError       404   runs, or a project, that don't exist
├── EventTooLargeError      413   an event that the topic does not accept
└── BadEventsError          422   events that name no run
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stepwell_schemas.http.problems import FieldError
from stepwell_schemas.rules.identifiers import RunPath

_SHOWN: Final = 10


class GatewayError(Exception):
    """Base of every error that the gateway raises itself."""


class NotWrittenError(GatewayError):
    """The brokers can't be reached, or don't acknowledge in time; the request may be repeated later."""


class BufferFullError(GatewayError):
    """Too many bytes wait for the brokers; the request may be repeated later."""


class BodyError(GatewayError):
    """A body that can't be split into events."""

    def __init__(self, rule: str, remedy: str, index: int | None = None) -> None:
        self.index = index
        self.rule = rule
        self.remedy = remedy
        super().__init__(rule)


class MediaTypeError(GatewayError):
    """A body of another media type or coding than events have."""

    def __init__(self, header: str, value: str, remedy: str) -> None:
        self.header = header
        self.value = value
        self.remedy = remedy
        super().__init__(f"{header} {value!r}; {remedy}")


class NoStoreError(GatewayError):
    """A change of stored runs, while the gateway has no ClickHouse that says which ones exist."""

    def __init__(self) -> None:
        super().__init__("this gateway knows no stored runs; set STEPWELL_CLICKHOUSE_DSN for it")


class RunsNotFoundError(GatewayError):
    """Runs that don't exist; without any, their project."""

    def __init__(self, missing: Sequence[RunPath], project: str = "") -> None:
        shown = ", ".join(repr(str(path)) for path in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        what = f"there is no run {shown}{more}" if missing else f"there is no project {project!r}"
        super().__init__(f"{what}; a run appears with its first event, and was deleted if it has been there")


class EventTooLargeError(GatewayError):
    """An event that the topic does not accept.

    Attributes:
        index: its position in the request, from 0.
        size: its bytes.
        limit: the bytes that an event may have.
    """

    def __init__(self, index: int, size: int, limit: int) -> None:
        self.index = index
        self.size = size
        self.limit = limit
        super().__init__(f"event {index} has {size:,} bytes; an event has at most {limit:,}")


class ForbiddenEventsError(GatewayError):
    """Events of a project that the identity may not write to; `described` names the first one."""

    def __init__(self, detail: str, described: FieldError) -> None:
        self.described = described
        super().__init__(detail)


class BadEventsError(GatewayError):
    """Events that name no run; `errors` lists them with field, value, rule and remedy."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error['field']}: {error['rule']}" for error in errors))
