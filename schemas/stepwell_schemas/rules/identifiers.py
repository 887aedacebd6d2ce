"""The path of a run, `entity/project/run_id`, and the rules for its parts."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple, Self

from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.limits import IDENTIFIER_MAX_CHARS

_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def check_identifier(field: str, value: str) -> str:
    """Return `value` if it is a valid entity, project or run id.

    Any Unicode text of 1 to 128 characters is valid (including spaces, quotes and emoji), unless it has a slash,
    control characters, lone surrogates, or leading or trailing whitespace, or is `.` or `..`.

    Raises:
        IdentifierError: with `field`, the value and the violated rule.
    """
    if not isinstance(value, str):
        raise IdentifierError(field, value, f"must be a string, not {type(value).__name__}")
    if not value:
        raise IdentifierError(field, value, "must not be empty")
    if len(value) > IDENTIFIER_MAX_CHARS:
        raise IdentifierError(field, value, f"must have at most {IDENTIFIER_MAX_CHARS} characters")
    if "/" in value:
        raise IdentifierError(field, value, "must not contain '/', which separates the parts of a run's path")
    if value in {".", ".."}:
        raise IdentifierError(field, value, "must not be '.' or '..'")
    if value != value.strip():
        raise IdentifierError(field, value, "must not begin or end with a blank")
    if not _is_plain(value):
        raise IdentifierError(field, value, "must not contain control characters or lone surrogates")
    return value


def _is_plain(value: str) -> bool:
    return (value.isascii() and value.isprintable()) or all(
        unicodedata.category(char) not in _FORBIDDEN_CATEGORIES for char in value
    )


class RunPath(NamedTuple):
    """`entity/project/run_id`: identifies a run, and is the key of its events, which preserves their order."""

    entity: str
    project: str
    run_id: str

    @classmethod
    def checked(cls, entity: str, project: str, run_id: str) -> Self:
        """Build a path from validated parts. Raises: IdentifierError."""
        return cls(
            check_identifier("entity", entity),
            check_identifier("project", project),
            check_identifier("run_id", run_id),
        )

    @classmethod
    def parse(cls, path: str) -> Self:
        """Parse `entity/project/run_id`. Raises: IdentifierError."""
        parts = path.strip("/").split("/")
        if len(parts) != len(cls._fields):
            raise IdentifierError("run path", path, "must have the form entity/project/run_id")
        return cls.checked(*parts)

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def kafka_key(self) -> bytes:
        """The message key of the run's events: the path in UTF-8."""
        return str(self).encode()
