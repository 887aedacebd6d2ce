"""Reads the accounts of a run's sessions, from which receipts are made."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from typing import Any, Final

from stepwell_query.catalog.conditions import OF_RUN, run_parameters
from stepwell_query.catalog.progress import read_progress
from stepwell_query.errors import SessionNotFoundError
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

_COUNTS: Final = ", ".join(
    f"argMax(totals.{name}, totals.end) AS {name}"
    for name in ("log_rows", "points", "conflicts", "dead_letters", "repeated", "missing")
)
# As hexadecimal digits: JavaScript has no integers of 64 bits.
_CONTENT: Final = "lower(leftPad(hex(argMax(content.digest, content.end)), 16, '0')) AS content, " + ", ".join(
    f"argMax(content.{name}, content.end) AS {alias}"
    for name, alias in (("covered", "content_rows"), ("differing", "differing_rows"), ("moved", "moved_rows"))
)
_SESSIONS: Final = f"""
SELECT session, max(writer) AS writer, max(next_sequence) AS records, {_COUNTS}, {_CONTENT}
FROM {{db}}.session_activity WHERE {OF_RUN}"""


def read_sessions(store: Store, run: RunPath) -> list[dict[str, Any]]:
    """Return the account of each of a run's sessions, by name.

    Every record of the journal below the number `records` is settled. `log_rows`, `points` and `conflicts` were stored;
    `dead_letters` were not, or only in part. `repeated` arrived more than once and count once; `missing` have not
    arrived. `content` is the content of `content_rows` of the rows; `differing_rows` are not stored as they were sent,
    without an entry in the dead letters, and `moved_rows` are stored at other steps than their session counted.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    found: list[dict[str, Any]] = store.query(
        f"{_SESSIONS} GROUP BY session ORDER BY session", run_parameters(run)
    ).to_pylist()
    if not found:
        read_progress(store, run)
    return found


def read_session(store: Store, run: RunPath, session: str) -> dict[str, Any]:
    """Return the account of one session.

    Raises:
        RunNotFoundError, SessionNotFoundError: while nothing of it is settled.
        StoreError: when ClickHouse does not answer.
    """
    sql = f"{_SESSIONS} AND session = {{session:String}} GROUP BY session"
    found: list[dict[str, Any]] = store.query(sql, {**run_parameters(run), "session": session}).to_pylist()
    if found:
        return found[0]
    read_progress(store, run)
    raise SessionNotFoundError(run, session)
