"""Entries of the audit log, newest first, in pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from stepwell_query.errors import RequestError
from stepwell_schemas.access.conditions import RESOURCES_CONDITION, resources_parameters
from stepwell_schemas.access.grants import Resource
from stepwell_schemas.clickhouse.store import Store

ENTRIES_MAX: Final = 1_000
ENTRIES_DEFAULT: Final = 100

_FIELDS: Final = "action, actor, method, key_id, entity, project, run_id, status, address, detail, id"
_EQUAL: Final = ("actor", "key_id", "entity", "project", "run_id")
_AFTER: Final = "(audit.time, id) < (fromUnixTimestamp64Milli({cursor_time:Int64}, 'UTC'), {cursor_id:String})"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The entries that a list shows; fields that are None or empty do not restrict it.

    Attributes:
        actions: one of these.
        actor, key_id, entity, project, run_id: exact values.
        since, until: times; the first one is included.
        limit: entries of a page.
        cursor: the `next` of the page before.
    """

    actions: Sequence[str] = ()
    actor: str | None = None
    key_id: str | None = None
    entity: str | None = None
    project: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = ENTRIES_DEFAULT
    cursor: str | None = None


class AuditPage(NamedTuple):
    """A page of entries, and the cursor of the following one."""

    entries: list[dict[str, Any]]
    next: str | None


def list_entries(store: Store, wanted: AuditFilter, administered: Sequence[Resource]) -> AuditPage:
    """Return a page of the entries that concern the administered resources; of all entries for all data.

    Raises:
        RequestError: for a cursor that is not one.
        StoreError: when ClickHouse does not answer.
    """
    conditions, parameters = _conditions(wanted)
    if Resource() not in administered:
        conditions.append(RESOURCES_CONDITION)
        parameters |= resources_parameters(administered)
    sql = (
        f"SELECT toUnixTimestamp64Milli(time) AS time, {_FIELDS} FROM {{db}}.audit"  # noqa: S608 - of constants
        f" WHERE {' AND '.join(conditions) or '1'} ORDER BY audit.time DESC, id DESC LIMIT {{limit:UInt32}}"
    )
    # One more, which shows that there is another page.
    rows = store.query(sql, parameters | {"limit": wanted.limit + 1}).to_pylist()
    page = rows[: wanted.limit]
    following = _write_cursor(page[-1]) if len(rows) > wanted.limit else None
    return AuditPage([_described(row) for row in page], following)


def _conditions(wanted: AuditFilter) -> tuple[list[str], dict[str, Any]]:
    given = {name: getattr(wanted, name) for name in _EQUAL if getattr(wanted, name) is not None}
    conditions = [f"{name} = {{{name}:String}}" for name in given]
    parameters: dict[str, Any] = dict(given)
    if wanted.actions:
        conditions.append("action IN {actions:Array(String)}")
        parameters["actions"] = list(wanted.actions)
    for name, comparison, time in (("since", ">=", wanted.since), ("until", "<", wanted.until)):
        if time is not None:
            conditions.append(f"audit.time {comparison} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = int(time.timestamp() * 1_000)
    if wanted.cursor is not None:
        conditions.append(_AFTER)
        parameters |= dict(zip(("cursor_time", "cursor_id"), _read_cursor(wanted.cursor), strict=True))
    return conditions, parameters


def _described(row: dict[str, Any]) -> dict[str, Any]:
    time = datetime.fromtimestamp(row["time"] / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return row | {"time": time, "detail": json.loads(row["detail"] or "{}")}


def _write_cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['time']}/{row['id']}".encode()).decode()


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        time, separator, identity = base64.urlsafe_b64decode(text.encode("ascii")).decode().partition("/")
        if separator and abs(int(time)) < 2**62:
            return int(time), identity
    except (binascii.Error, ValueError):
        pass
    raise RequestError("cursor", text, "is not a cursor of this list", "send the `next` of the previous page")
