"""Registry of the fields of a run: what every run has besides its config and summary.

One entry is one column of the runs list. It feeds the SQL of lists (select, filter, order), a run's JSON, the checks of
both filter notations, the groups of series, the search of columns, and `/api/v1/connect`, from which the page reads it.
A field of new data also needs a column of `run_documents`: a migration, and the ingestor's `RunDocument`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from stepwell_schemas.rules.run_states import served_state_sql

STATE: Final = "state"
LAST_ACTIVITY: Final = "last_activity"


class FieldType(StrEnum):
    """Type of a field's values."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "bool"
    TIME = "time"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class RunField:
    """A field of a run.

    Attributes:
        name: its name in filters, orders and groups.
        label: its title on the page.
        sql: an expression over `d`, the run's row of `run_documents`, and `a`, the totals of its activity. NULL, or an
            empty text or list, means that the run has no value. Times are milliseconds since the epoch. The parameter
            `alive_since` is that of the rule of served states.
        member: its name in a run's JSON, if that differs from `name`.
        absent: what a run's JSON holds instead of NULL.
        synonyms: further names, as the JSON, the SQL views or wandb spell them.
    """

    name: str
    label: str
    type: FieldType
    sql: str
    member: str = ""
    absent: Any = None
    synonyms: tuple[str, ...] = ()

    @property
    def json_name(self) -> str:
        """The field's name in a run's JSON."""
        return self.member or self.name

    @property
    def document_columns(self) -> list[str]:
        """The columns of `run_documents` that the field reads."""
        return re.findall(r"\bd\.(\w+)", self.sql)

    @property
    def reads_activity(self) -> bool:
        """Return whether the field depends on what the run logged, not only on its document."""
        return re.search(r"\ba\.\w", self.sql) is not None

    @property
    def depends_on_time(self) -> bool:
        """Return whether the field changes with the time alone, without an event of the run."""
        return "{alive_since:" in self.sql

    @property
    def sortable(self) -> bool:
        """Return whether runs can be ordered by the field."""
        return self.type is not FieldType.LIST

    @property
    def groupable(self) -> bool:
        """Return whether series can be grouped by the field: it holds names, and no flush changes them.

        The state is an exception, which depends on the time: `series.groups` computes it from the runs' progress.
        """
        names = self.type in {FieldType.TEXT, FieldType.BOOL, FieldType.LIST}
        return names and (self.name == STATE or not self.reads_activity)

    def to_json(self, value: Any) -> Any:
        """Return a selected value as a run's JSON has it."""
        if value is None:
            return self.absent
        return iso_time(value) if self.type is FieldType.TIME else value

    def describe(self) -> dict[str, Any]:
        """Return the field as `/api/v1/connect` describes it; every field can be filtered by."""
        return {
            "name": self.name,
            "member": self.json_name,
            "label": self.label,
            "type": str(self.type),
            "synonyms": list(self.synonyms),
            "sortable": self.sortable,
            "filterable": True,
            "groupable": self.groupable,
        }


def iso_time(milliseconds: int | None) -> str | None:
    """Return a time as RFC 3339 text in UTC with milliseconds."""
    if milliseconds is None:
        return None
    text = datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_TEXT, _NUMBER, _BOOL, _TIME, _LIST = FieldType
_STARTED: Final = "toUnixTimestamp64Milli(d.started_at)"
_HEARTBEAT: Final = "toUnixTimestamp64Milli(greatest(d.started_at, a.last_timestamp))"
_FINISHED: Final = "toUnixTimestamp64Milli(d.finished_at)"
_STATE: Final = served_state_sql("toString(d.state)", _HEARTBEAT, "{alive_since:Int64}")
# Clocks of two machines may differ: a run never ends before it starts.
_DURATION: Final = f"greatest(ifNull({_FINISHED}, {_HEARTBEAT}) - {_STARTED}, 0) / 1000"

RUN_FIELDS: Final = (
    RunField(
        "name",
        "Name",
        _TEXT,
        "if(d.display_name = '', d.run_id, d.display_name)",
        synonyms=("display_name", "displayName"),
    ),
    RunField("run_id", "Id", _TEXT, "d.run_id", synonyms=("id",)),
    RunField(STATE, "State", _TEXT, _STATE),
    RunField("stop_requested", "Stop requested", _BOOL, "d.stop_requested"),
    RunField("exit_code", "Exit code", _NUMBER, "d.exit_code"),
    RunField("tags", "Tags", _LIST, "d.tags"),
    RunField("notes", "Notes", _TEXT, "d.notes"),
    RunField("group", "Group", _TEXT, "d.run_group", synonyms=("run_group",)),
    RunField("job_type", "Job type", _TEXT, "d.job_type", synonyms=("jobType",)),
    RunField("client", "Client", _TEXT, "d.client"),
    RunField("host", "Host", _TEXT, "d.host"),
    RunField("program", "Program", _TEXT, "d.program"),
    RunField("git_commit", "Git commit", _TEXT, "d.git_commit", synonyms=("commit",)),
    RunField("git_dirty", "Git dirty", _BOOL, "d.git_dirty"),
    RunField("created_at", "Created", _TIME, "toUnixTimestamp64Milli(d.created_at)", synonyms=("createdAt",)),
    RunField("started_at", "Started", _TIME, _STARTED, synonyms=("startedAt",)),
    RunField("finished_at", "Finished", _TIME, _FINISHED, synonyms=("finishedAt",)),
    RunField(
        LAST_ACTIVITY,
        "Last activity",
        _TIME,
        _HEARTBEAT,
        member="heartbeat_at",
        synonyms=("heartbeat_at", "heartbeatAt", "updated_at", "updatedAt"),
    ),
    RunField("duration", "Duration (s)", _NUMBER, _DURATION, synonyms=("runtime",)),
    RunField("last_step", "Last step", _NUMBER, "if(a.log_rows = 0, NULL, a.last_step)", absent=-1),
    RunField("points", "Points", _NUMBER, "a.points"),
    RunField("log_rows", "Rows", _NUMBER, "a.log_rows"),
    RunField("step_conflicts", "Step conflicts", _NUMBER, "a.conflicts"),
)
"""All fields, in the order of a run's JSON.

`duration` lasts from the run's last start to its end, or to its last activity while it has none.
"""

FIELDS: Final = {field.name: field for field in RUN_FIELDS}
SYNONYMS: Final = {synonym: field.name for field in RUN_FIELDS for synonym in field.synonyms}
GROUPABLE: Final = tuple(field.name for field in RUN_FIELDS if field.groupable)

ACTIVITY: Final = """
    SELECT
        run_id, max(last_timestamp) AS last_timestamp, max(last_step) AS last_step,
        argMax(totals.log_rows, totals.end) AS log_rows, argMax(totals.points, totals.end) AS points,
        argMax(totals.conflicts, totals.end) AS conflicts, max(last_offset) AS last_offset,
        max(rebuilt_at) AS rebuilt_at, count() AS flushes
    FROM {db}.run_activity PREWHERE {runs} GROUP BY run_id
"""
"""The totals of the activity of runs, as fields read them; `{runs}` stands for the condition that selects the runs."""

ACTIVITY_JOIN: Final = f"LEFT JOIN ({ACTIVITY}) AS a ON a.run_id = d.run_id"


def find_field(name: str) -> RunField | None:
    """Return the field of a name or synonym."""
    return FIELDS.get(SYNONYMS.get(name, name))


def document_columns(fields: Iterable[RunField]) -> list[str]:
    """Return the columns of `run_documents` that fields read, each once."""
    return list(dict.fromkeys(column for field in fields for column in field.document_columns))


def search_fields(words: Iterable[str]) -> list[dict[str, Any]]:
    """Return the descriptions of the fields whose name or label holds every word; words are in lower case."""
    wanted = list(words)
    return [
        field.describe()
        for field in RUN_FIELDS
        if all(word in f"{field.name} {field.label}".lower() for word in wanted)
    ]
