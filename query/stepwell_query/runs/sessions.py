"""Reads the accounts of a run's sessions, from which receipts are made."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

import pyarrow as pa

from stepwell_query.catalog.conditions import OF_RUN, run_parameters
from stepwell_query.catalog.progress import read_progress
from stepwell_query.errors import RunDeletedError, RunNotFoundError, SessionNotFoundError
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


# The ingestor's note of a session that began before its run was deleted, which an earlier ingestor does not make; and
# whether anything of the run is known.
_KNOWN: Final = f"""
SELECT 1 AS deleted FROM {{db}}.run_states WHERE {OF_RUN} AND scope = 'deleted' AND name = {{session:String}} LIMIT 1
UNION ALL SELECT 0 AS deleted FROM {{db}}.run_activity WHERE {OF_RUN} LIMIT 1
UNION ALL SELECT 0 AS deleted FROM {{db}}.run_documents FINAL WHERE {OF_RUN} LIMIT 1"""
# Writers whose last process began while an earlier one still logged under their name, and sessions of such processes
# that have a name with a number since.
_SHARED: Final = f"""
SELECT name, scope = 'numbered' AS is_session FROM {{db}}.run_states FINAL
WHERE {OF_RUN} AND scope IN ('writer_start', 'shared_writer', 'numbered') AND number >= 0
GROUP BY name, is_session HAVING is_session OR (count() = 2 AND min(number) = max(number))"""
_STOP: Final = f"SELECT stop_requested FROM {{db}}.run_documents FINAL WHERE {OF_RUN}"


def read_sessions(store: Store, run: RunPath) -> list[dict[str, Any]]:
    """Return the account of each of a run's sessions, by name.

    Every record of the journal below the number `records` is settled. `log_rows`, `points` and `conflicts` were stored;
    `dead_letters` were not, or only in part. `repeated` arrived more than once and count once; `missing` have not
    arrived. `content` is the content of `content_rows` of the rows; `differing_rows` are not stored as they were sent,
    without an entry in the dead letters, and `moved_rows` are stored at other steps than their session counted.
    `writer_shared`: another process has logged under the writer's name at the same time. Since it showed, the rows of
    the one that began first have a name with a number, which is then the `writer` of its session.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    parameters = run_parameters(run)
    sql = f"{_SESSIONS} GROUP BY session ORDER BY session"
    accounts, shared = store.queries([(sql, parameters), (_SHARED, parameters)])
    found: list[dict[str, Any]] = accounts.to_pylist()
    if not found:
        read_progress(store, run)
    names = _shared_names(shared)
    return [{**account, "writer_shared": _is_shared(account, names)} for account in found]


def read_session(store: Store, run: RunPath, session: str) -> dict[str, Any]:
    """Return the account of one session, and whether its run is to stop.

    Raises:
        RunDeletedError: if the session began before its run was deleted.
        RunNotFoundError, SessionNotFoundError: while nothing of it is settled.
        StoreError: when ClickHouse does not answer.
    """
    sql = f"{_SESSIONS} AND session = {{session:String}} GROUP BY session"
    of_run = run_parameters(run)
    parameters = {**of_run, "session": session}
    account = store.query(sql, parameters)
    # First: a session's end is waited for by repeated requests, most of which come before anything of it is settled.
    if not account.num_rows:
        known = store.query(_KNOWN, parameters).column("deleted").to_pylist()
        if 1 in known:
            raise RunDeletedError(run, session)
        raise SessionNotFoundError(run, session) if known else RunNotFoundError(run)
    stop, shared = store.queries([(_STOP, of_run), (_SHARED, of_run)])
    found = account.to_pylist()[0]
    return {
        **found,
        "stop_requested": any(stop.column("stop_requested").to_pylist()),
        "writer_shared": _is_shared(found, _shared_names(shared)),
    }


def _shared_names(shared: pa.Table) -> set[tuple[bool, str]]:
    return {(bool(row["is_session"]), row["name"]) for row in shared.to_pylist()}


def _is_shared(account: Mapping[str, Any], names: Set[tuple[bool, str]]) -> bool:
    return (False, account["writer"]) in names or (True, account["session"]) in names
