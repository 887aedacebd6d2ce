"""Lists of projects and of a project's runs, page by page."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import orjson

from stepwell_query.encode import NotFinite
from stepwell_query.errors import ProjectNotFoundError, RequestError
from stepwell_query.run_info import DOCUMENTS_OF_PROJECT, iso_time, run_infos
from stepwell_schemas.clickhouse import Store

ORDERS: Final = {"created_at": "Int64", "name": "String", "last_activity": "Int64"}
"""What runs can be ordered by, and the type of a value of it; a `-` in front reverses."""

_COLUMNS: Final = {"created_at": "created_at", "name": "name", "last_activity": "heartbeat_at"}

_PROJECTS: Final = """
SELECT
    entity, project, sum(documents) AS runs,
    toUnixTimestamp64Milli(max(last_activity)) AS last_activity
FROM
(
    SELECT entity, project, uniqExact(run_id) AS documents, max(started_at) AS last_activity
    FROM {db}.run_documents GROUP BY entity, project
    UNION ALL
    SELECT entity, project, 0 AS documents, max(last_timestamp) AS last_activity
    FROM {db}.run_activity GROUP BY entity, project
)
GROUP BY entity, project HAVING runs > 0 ORDER BY last_activity DESC, entity, project
"""

_COUNT: Final = """
SELECT uniqExact(run_id) AS runs FROM {db}.run_documents WHERE entity = {entity:String} AND project = {project:String}
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of runs; runs that are equal in it are ordered by their id."""

    by: str
    descending: bool

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read `name`, `-created_at` and the like. Raises: RequestError."""
        name = text.removeprefix("-").removeprefix("+")
        if name not in ORDERS:
            known = ", ".join(ORDERS)
            raise RequestError("order", text, "is no order of runs", f"send one of {known}; a - in front reverses")
        return cls(name, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.by}" if self.descending else self.by


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of the last run of a page in its order: the next page begins behind it."""

    order: str
    value: int | str
    run_id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self.order, self.value, self.run_id])).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, order: Order) -> Cursor:
        """Read a cursor that an earlier page gave. Raises: RequestError when it is none, or of another order."""
        try:
            named, value, run_id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError, TypeError):
            named, value, run_id = None, None, None
        expected = str if ORDERS[order.by] == "String" else int
        if named != str(order) or type(value) is not expected or not isinstance(run_id, str):
            remedy = "send the `next` of a page that you asked for in the same order, or no cursor"
            raise RequestError("cursor", text, "is no cursor of this list", remedy)
        return cls(named, value, run_id)


def read_projects(store: Store) -> list[dict[str, Any]]:
    """Return every project that has a run, the latest active first. Raises: StoreError."""
    rows = store.query(_PROJECTS).to_pylist()
    return [{**row, "last_activity": iso_time(row["last_activity"])} for row in rows]


def read_runs(
    store: Store,
    entity: str,
    project: str,
    order: Order,
    limit: int,
    cursor: str | None,
    odd: NotFinite = NotFinite.TEXT,
) -> dict[str, Any]:
    """Return one page of a project's runs.

    Raises:
        ProjectNotFoundError: when the project has no runs.
        RequestError: when the cursor is not of this list.
        StoreError: when ClickHouse does not answer.
    """
    parameters: dict[str, Any] = {"entity": entity, "project": project}
    total = store.query(_COUNT, parameters).column("runs")[0].as_py()
    if not total:
        raise ProjectNotFoundError(entity, project)
    column, direction = _COLUMNS[order.by], "DESC" if order.descending else "ASC"
    behind = ""
    if cursor is not None:
        place = Cursor.parse(cursor, order)
        parameters |= {"value": place.value, "after": place.run_id}
        compared = "<" if order.descending else ">"
        behind = f"WHERE ({column}, run_id) {compared} ({{value:{ORDERS[order.by]}}}, {{after:String}})"
    rows = store.query(
        f"SELECT * FROM ({DOCUMENTS_OF_PROJECT}) {behind}"
        f" ORDER BY {column} {direction}, run_id {direction} LIMIT {limit + 1:d}",
        parameters,
    ).to_pylist()
    page = rows[:limit]
    more = len(rows) > limit
    following = str(Cursor(str(order), page[-1][column], page[-1]["run_id"])) if more else None
    return {"runs": run_infos(store, page, odd), "next": following, "total": total}
