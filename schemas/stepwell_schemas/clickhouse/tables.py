"""The tables of points by kind, and the conditions that select the rows of runs and projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind

PUBLIC_VIEWS: Final = (
    "runs",
    "metrics",
    "numbers",
    "strings",
    "bools",
    "others",
    "media",
    "step_conflicts",
    "retention",
    "audit",
)
"""The views that docs/sql.md describes; the tables that they read may change with any version."""

ACCESS_TABLES: Final = frozenset({"access_keys", "access_key_uses", "audit_events", "ended_sessions"})
"""Tables of access control and of the audit log. They do not follow from the log of events, so a rebuild leaves them
alone; no statement of a user reads them by name."""

RETENTION_TABLES: Final = frozenset({"retention_policies", "retention_runs"})
"""Policies of retention and the passes that carried them out. They do not follow from the log of events either."""

POINT_TABLES: Final[Mapping[Kind, str]] = {
    Kind.NUMBER: "points_number",
    Kind.STRING: "points_string",
    Kind.BOOL: "points_bool",
    Kind.OTHER: "points_other",
    **dict.fromkeys(MEDIA_KINDS, "points_media"),
}
"""The table with the points of each kind; `points_media` has a column with the kind."""

PROJECT_CONDITION: Final = "entity = {entity:String} AND project = {project:String}"
"""Rows of one project. All conditions here use the first columns of the tables' sort keys."""

RUN_CONDITION: Final = f"{PROJECT_CONDITION} AND run_id = {{run_id:String}}"
"""Rows of one run; its parameters are the fields of `RunPath`."""

PROJECT_RUNS_CONDITION: Final = f"{PROJECT_CONDITION} AND run_id IN {{run_ids:Array(String)}}"
"""Rows of several runs of one project."""

NO_WRITER: Final = "writer = ''"
"""Rows of points, series and rollups of the unnamed writer, which are all rows of most runs.

`writer` is a column of their sort keys before the step: with this condition, ClickHouse finds a range of steps by
binary search.
"""

RUNS_PARAMETER: Final = "{runs:Array(Tuple(String, String, String))}"
RUNS_CONDITION: Final = f"(entity, project, run_id) IN {RUNS_PARAMETER}"
"""Rows of several runs of any projects."""
