"""What every run has besides config and summary, and what may be asked of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from stepwell_query.runs.filters.ast import Compare, Exists, Has, Matches, Ref, Source, Term, Value

ORDERED: Final = frozenset({"<", "<=", ">", ">="})


class FieldKind(StrEnum):
    """What the values of a field are."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Field:
    """A field: the kind of its values, and the expression that gives it (NULL: there is none).

    `activity` says that it is made of what the run logged, not of its document. Times are milliseconds since the epoch.
    """

    kind: FieldKind
    sql: str
    activity: bool = False


_LOGGED: Final = "if(a.log_rows = 0, NULL, {})"
_HEARTBEAT: Final = "toUnixTimestamp64Milli(greatest(d.started_at, a.last_timestamp))"

FIELDS: Final = {
    "name": Field(FieldKind.TEXT, "if(d.display_name = '', d.run_id, d.display_name)"),
    "run_id": Field(FieldKind.TEXT, "d.run_id"),
    "state": Field(FieldKind.TEXT, "toString(d.state)"),
    "group": Field(FieldKind.TEXT, "d.run_group"),
    "job_type": Field(FieldKind.TEXT, "d.job_type"),
    "notes": Field(FieldKind.TEXT, "d.notes"),
    "host": Field(FieldKind.TEXT, "d.host"),
    "client": Field(FieldKind.TEXT, "d.client"),
    "tags": Field(FieldKind.LIST, "d.tags"),
    "exit_code": Field(FieldKind.NUMBER, "d.exit_code"),
    "created_at": Field(FieldKind.TIME, "toUnixTimestamp64Milli(d.created_at)"),
    "started_at": Field(FieldKind.TIME, "toUnixTimestamp64Milli(d.started_at)"),
    "finished_at": Field(FieldKind.TIME, "toUnixTimestamp64Milli(d.finished_at)"),
    "last_activity": Field(FieldKind.TIME, _HEARTBEAT, activity=True),
    "duration": Field(FieldKind.NUMBER, f"({_HEARTBEAT} - toUnixTimestamp64Milli(d.created_at)) / 1000", activity=True),
    "last_step": Field(FieldKind.NUMBER, _LOGGED.format("a.last_step"), activity=True),
    "log_rows": Field(FieldKind.NUMBER, "a.log_rows", activity=True),
    "points": Field(FieldKind.NUMBER, "a.points", activity=True),
    "step_conflicts": Field(FieldKind.NUMBER, "a.conflicts", activity=True),
}
"""By name; `duration` is in seconds, from the run's creation to its last sign of life."""

SYNONYMS: Final = {
    "id": "run_id",
    "display_name": "name",
    "displayName": "name",
    "jobType": "job_type",
    "createdAt": "created_at",
    "startedAt": "started_at",
    "finishedAt": "finished_at",
    "heartbeat_at": "last_activity",
    "heartbeatAt": "last_activity",
    "updated_at": "last_activity",
    "updatedAt": "last_activity",
    "run_group": "group",
}
"""Further names of fields, as the service's answers, the SQL views and wandb spell them."""

_INSIDE: Final = {"config": Source.CONFIG, "summary": Source.SUMMARY, "summary_metrics": Source.SUMMARY}


class TermError(Exception):
    """A name or comparison that can't be used: the rule it breaks, and what would be right."""

    def __init__(self, rule: str, remedy: str) -> None:
        self.rule = rule
        self.remedy = remedy
        super().__init__(rule)


def ref_of(root: str, path: str | None) -> Ref:
    """Return what a name means; `path` is what stands behind its first dot. Raises: TermError."""
    if root in _INSIDE:
        if not path:
            raise TermError(f"{root} needs a key", f"write {root}.KEY, for example {root}.lr")
        return Ref(_INSIDE[root], path)
    name = SYNONYMS.get(root, root)
    if name not in FIELDS:
        known = ", ".join(FIELDS)
        raise TermError(f"there is no field {root!r}", f"write config.KEY, summary.KEY, or one of {known}")
    if path is not None:
        raise TermError(f"{root} has no keys", f"write {root} alone")
    return Ref(Source.FIELD, name)


def checked(term: Term) -> Term:
    """Return a term as it is carried out: times of fields in milliseconds. Raises: TermError."""
    if isinstance(term, Compare) and term.sign in ORDERED and (term.value is None or isinstance(term.value, bool)):
        rule = f"{shown(term.value)} is neither more nor less than anything"
        raise TermError(rule, "compare it with = or !=; order is for numbers and texts")
    field = FIELDS.get(term.ref.name) if term.ref.source is Source.FIELD else None
    match term:
        case Exists():
            return term
        case Compare(value=None) if field is not None:
            raise TermError(f"{term.ref} is never null", f"write {term.ref} missing, or {term.ref} exists")
        case Has() if field is not None and field.kind is not FieldKind.LIST:
            raise TermError(f"{term.ref} is no list", f'write {term.ref} = "…"')
        case Has(value=value) if field is not None and not isinstance(value, str):
            raise TermError(f"{term.ref} holds texts", f'write {term.ref} has "{shown(value)}"')
        case Matches() if field is not None and field.kind is not FieldKind.TEXT:
            raise TermError(f"{term.ref} is no text", "regular expressions are for texts")
        case Compare() if field is not None:
            return _compared(term, field.kind)
    return term


def _compared(term: Compare, kind: FieldKind) -> Compare:
    name, value = term.ref.name, term.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case FieldKind.LIST:
            raise TermError(f"{name} is a list", f'write {name} has "x"; several: {name} has "x" and {name} has "y"')
        case FieldKind.TEXT if not isinstance(value, str):
            raise TermError(f"{name} is a text, {shown(value)} is none", f'quote it: {name} {term.sign} "{value}"')
        case FieldKind.NUMBER if not is_number:
            raise TermError(f"{name} is a number, {shown(value)} is none", f"write it bare: {name} {term.sign} 3")
        case FieldKind.TIME:
            return Compare(term.ref, term.sign, _milliseconds(name, value))
    return term


def _milliseconds(name: str, value: Value) -> float:
    try:
        if not isinstance(value, str):
            raise ValueError
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        rule = f"{name} is a time, {shown(value)} is none"
        raise TermError(
            rule, 'write it as "2026-01-31" or "2026-01-31T12:30:00Z" (UTC unless it says otherwise)'
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000


def shown(value: Value) -> str:
    """Return a value as the language writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
