"""Decide whether what is stored of a session is what was logged, from the account that the service has of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class StoredSession(NamedTuple):
    """The service's account of a session.

    Attributes:
        records: every record below this number is settled. log_rows: rows stored. points, conflicts: values stored, and
            calls with a step below the current one. dead_letters, missing: events not stored, or only in part, and
            records that never arrived.
        content: the content of `content_rows` of the rows (`rules.content`). differing_rows: rows that are not stored
            as they were sent. moved_rows: rows at other steps than the session counted.
        writer_shared: another process has logged under the name of the session's writer at the same time.
        deleted: the session's run was deleted, and nothing of the session is or will be stored.
    """

    records: int
    log_rows: int
    points: int
    conflicts: int
    dead_letters: int
    missing: int
    content: int = 0
    content_rows: int = 0
    differing_rows: int = 0
    moved_rows: int = 0
    writer_shared: bool = False
    deleted: bool = False


NOTHING_STORED: Final = StoredSession(0, 0, 0, 0, 0, 0)
DELETED: Final = NOTHING_STORED._replace(deleted=True)
DELETED_NOTE: Final = "nothing: the run was deleted"
_DELETED_TYPE: Final = "urn:stepwell:problem:run-deleted"


def is_deleted(problem: Any) -> bool:
    """Return whether a problem document says that the run of a session was deleted."""
    return isinstance(problem, dict) and problem.get("type") == _DELETED_TYPE


def is_hidden(problem: Any) -> bool:
    """Return whether a problem document says that the key may not read the run of a session, stored or not."""
    return isinstance(problem, dict) and bool(problem.get("scope"))


def parse_session(body: dict[str, Any]) -> StoredSession:
    """Return the account that the service answers; an earlier service reports no content.

    Raises: LookupError, ValueError, TypeError.
    """
    return StoredSession(
        int(body["records"]), int(body["log_rows"]), int(body["points"]), int(body["conflicts"]),
        int(body["dead_letters"]), int(body["missing"]), int(body.get("content", "0"), 16),
        int(body.get("content_rows", 0)), int(body.get("differing_rows", 0)), int(body.get("moved_rows", 0)),
        body.get("writer_shared") is True,
    )  # fmt: skip


def is_same(stored: StoredSession, content: int | None = None, lost: int = 0) -> bool | None:
    """Return whether the stored rows of a session are what was logged; None if the service does not know.

    `content`: that of all rows that were delivered; None if it is not known, so that the answer rests on the contents
    that the batches state. `lost`: the number of records that were not delivered for good.
    """
    if stored.deleted:
        return None
    if lost or stored.missing or stored.dead_letters or stored.differing_rows:
        return False
    if stored.content_rows != stored.log_rows:
        return None
    return content is None or content == stored.content


def describe_content(*, same: bool) -> str:
    """Return the part of a receipt that says whether the stored content is what was logged."""
    return "content the same as logged" if same else "STORED CONTENT DIFFERS from what was logged"
