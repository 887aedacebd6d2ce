"""Names and comparisons that a filter may use: the rules that both of its notations share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from stepwell_query.runs.fields import FIELDS, FieldType, find_field
from stepwell_query.runs.filters.ast import Compare, Exists, Has, Matches, Ref, Source, Term, Value

ORDERED: Final = frozenset({"<", "<=", ">", ">="})


_DOCUMENTS: Final = {"config": Source.CONFIG, "summary": Source.SUMMARY, "summary_metrics": Source.SUMMARY}
_WANDBS_SUMMARY: Final = {"_step": "last_step", "_runtime": "duration", "_timestamp": "last_activity"}
"""Members that wandb adds to each run's summary, and the fields that have their content."""

_VALUE: Final = ".value"


class TermError(Exception):
    """A name or comparison that can't be used: the rule that it breaks, and a remedy."""

    def __init__(self, rule: str, remedy: str) -> None:
        self.rule = rule
        self.remedy = remedy
        super().__init__(rule)


def resolve_name(root: str, path: str | None) -> Ref:
    """Return what a name refers to; `path` is what follows its first dot. Raises: TermError."""
    if root in _DOCUMENTS:
        if not path:
            raise TermError(f"{root} needs a key", f"write {root}.KEY, for example {root}.lr")
        if root == "summary_metrics" and path in _WANDBS_SUMMARY:
            return Ref(Source.FIELD, _WANDBS_SUMMARY[path])
        return Ref(_DOCUMENTS[root], path)
    field = find_field(root)
    if field is None:
        known = ", ".join(FIELDS)
        raise TermError(f"there is no field {root!r}", f"write config.KEY, summary.KEY, or one of {known}")
    if path is not None:
        raise TermError(f"{root} has no keys", f"write {root} alone")
    return Ref(Source.FIELD, field.name)


def without_value(ref: Ref) -> Ref:
    """Return `config.KEY` for `config.KEY.value`, as scripts for wandb write it, and other references as they are."""
    if ref.source is Source.CONFIG and ref.name.endswith(_VALUE):
        return Ref(Source.CONFIG, ref.name.removesuffix(_VALUE))
    return ref


def check_term(term: Term) -> Term:
    """Check a term, and return it with times of fields in milliseconds. Raises: TermError."""
    if isinstance(term, Compare) and term.sign in ORDERED and (term.value is None or isinstance(term.value, bool)):
        rule = f"{format_value(term.value)} is neither more nor less than anything"
        raise TermError(rule, "compare it with = or !=; order is for numbers and texts")
    field = FIELDS.get(term.ref.name) if term.ref.source is Source.FIELD else None
    match term:
        case Exists():
            return term
        case Compare(value=None) if field is not None:
            raise TermError(f"{term.ref} is never null", f"write {term.ref} missing, or {term.ref} exists")
        case Has() if field is not None and field.type is not FieldType.LIST:
            raise TermError(f"{term.ref} is no list", f'write {term.ref} = "…"')
        case Has(value=value) if field is not None and not isinstance(value, str):
            raise TermError(f"{term.ref} holds texts", f'write {term.ref} has "{format_value(value)}"')
        case Matches() if field is not None and field.type is not FieldType.TEXT:
            raise TermError(f"{term.ref} is no text", "regular expressions are for texts")
        case Compare() if field is not None:
            return _check_comparison(term, field.type)
    return term


def _check_comparison(term: Compare, kind: FieldType) -> Compare:
    name, value = term.ref.name, term.value
    shown = format_value(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case FieldType.LIST:
            raise TermError(f"{name} is a list", f'write {name} has "x"; several: {name} has "x" and {name} has "y"')
        case FieldType.TEXT if not isinstance(value, str):
            raise TermError(f"{name} is a text, {shown} is none", f'quote it: {name} {term.sign} "{value}"')
        case FieldType.NUMBER if not is_number:
            raise TermError(f"{name} is a number, {shown} is none", f"write it bare: {name} {term.sign} 3")
        case FieldType.BOOL if not isinstance(value, bool):
            raise TermError(f"{name} is true or false, {shown} is neither", f"write {name} = true")
        case FieldType.TIME:
            return Compare(term.ref, term.sign, _milliseconds(name, value))
    return term


def _milliseconds(name: str, value: Value) -> float:
    try:
        if not isinstance(value, str):
            raise ValueError
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        rule = f"{name} is a time, {format_value(value)} is none"
        raise TermError(
            rule, 'write it as "2026-01-31" or "2026-01-31T12:30:00Z" (UTC unless it says otherwise)'
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000


def format_value(value: Value) -> str:
    """Return a value as the filter language writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
