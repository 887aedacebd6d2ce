"""Parser of wandb's filters, dicts in MongoDB's style: `{"config.lr": {"$gt": 0.1}}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell_query.runs.fields import FIELDS, FieldType
from stepwell_query.runs.filters.ast import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_TERMS,
    All,
    AnyOf,
    Compare,
    Exists,
    FilterError,
    Has,
    Matches,
    Node,
    Not,
    Ref,
    Sign,
    Source,
    Term,
    Value,
    terms,
)
from stepwell_query.runs.filters.validation import TermError, check_term, resolve_name, without_value
from stepwell_schemas.texts import shorten

_SIGNS: Final[dict[str, Sign]] = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS: Final = (*_SIGNS, "$ne", "$in", "$nin", "$all", "$exists", "$regex", "$not")
_JOINED: Final = ("$and", "$or", "$nor")
_OPTIONS: Final = "ims"


def parse_dict(text: str) -> Node:
    """Return the tree of a filter in JSON.

    Every run passes an empty dict. Where wandb's names mean something else than ours, both are tried: `name` is the
    run's name or id, and a config key may end in `.value`.

    Raises:
        FilterError: with the key or operator that can't be used, and a remedy.
    """
    if len(text) > MAX_CHARS:
        raise FilterError(text, f"is longer than {MAX_CHARS:,} characters", "ask in several requests")
    try:
        found = json.loads(text)
        # Numbers beyond what is compared, and texts that are no Unicode, would fail further down.
        text.encode()
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        column = error.pos + 1 if isinstance(error, json.JSONDecodeError) else None
        remedy = 'send a JSON object, for example {"config.lr": {"$gt": 0.1}}'
        raise FilterError(text, f"begins like JSON and is none: {error}", remedy, column) from None
    try:
        node = _parse_node(found, 0)
        if len(terms(node)) > MAX_TERMS:
            raise TermError(f"there are more than {MAX_TERMS} comparisons", "ask in several requests")
    except TermError as error:
        raise FilterError(text, error.rule, error.remedy) from error
    return node


def _parse_node(found: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise TermError(f"there are more than {MAX_DEPTH} dicts within one another", "write it flatter")
    if not isinstance(found, dict):
        raise TermError(f"{_shorten(found)} is no dict", 'a filter is a dict: {"config.lr": {"$gt": 0.1}}')
    return All(tuple(_entry(name, condition, depth) for name, condition in found.items()))


def _entry(name: str, condition: Any, depth: int) -> Node:
    if name in _JOINED:
        if not isinstance(condition, list) or not condition:
            raise TermError(f"{name} needs a list of dicts", f'write "{name}": [{{"state": "finished"}}]')
        parts = tuple(_parse_node(part, depth + 1) for part in condition)
        return All(parts) if name == "$and" else AnyOf(parts) if name == "$or" else Not(AnyOf(parts))
    if name.startswith("$"):
        remedy = f"besides names of keys there are {', '.join(_JOINED)}"
        raise TermError(f"there is no operator {name!r} here", remedy)
    refs = _refs(name)
    if isinstance(condition, dict):
        return _conditions(name, refs, condition, depth + 1)
    return _equal(refs, condition)


def _refs(name: str) -> tuple[Ref, ...]:
    root, _, path = name.partition(".")
    ref = resolve_name(root, path or None)
    if name == "name":
        return (ref, resolve_name("run_id", None))
    return tuple(dict.fromkeys((ref, without_value(ref))))


def _conditions(name: str, refs: tuple[Ref, ...], condition: Mapping[str, Any], depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise TermError(f"there are more than {MAX_DEPTH} dicts within one another", "write it flatter")
    unknown = [operator for operator in condition if operator not in _OPERATORS and operator != "$options"]
    if unknown or not condition:
        rule = f"{name}: there is no operator {unknown[0]!r}" if unknown else f"{name}: the dict is empty"
        raise TermError(rule, f"write one of {', '.join(_OPERATORS)}; keys within keys: {name}.KEY")
    parts: list[Node] = []
    for operator, value in condition.items():
        match operator:
            case "$ne":
                parts.append(Not(_equal(refs, value)))
            case "$in" | "$nin" | "$all":
                each = tuple(_equal(refs, item) for item in _list(name, operator, value))
                parts.append(
                    All(each) if operator == "$all" else AnyOf(each) if operator == "$in" else Not(AnyOf(each))
                )
            case "$exists":
                there = _each(refs, Exists)
                parts.append(there if value else Not(there))
            case "$regex":
                parts.append(_matches(refs, _pattern(name, value, condition.get("$options", ""))))
            case "$not":
                part = _conditions(name, refs, value, depth + 1) if isinstance(value, dict) else _equal(refs, value)
                parts.append(Not(part))
            case "$eq":
                parts.append(_equal(refs, value))
            case "$options":
                pass
            case _:
                parts.append(_compare(refs, _SIGNS[operator], _scalar(refs[0], value)))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _equal(refs: tuple[Ref, ...], value: Any) -> Node:
    scalar = _scalar(refs[0], value)
    if refs[0].source is Source.FIELD and FIELDS[refs[0].name].type is FieldType.LIST:
        return _each(refs, lambda ref: Has(ref, scalar))
    return _compare(refs, "=", scalar)


def _compare(refs: tuple[Ref, ...], sign: Sign, scalar: Value) -> Node:
    return _each(refs, lambda ref: Compare(ref, sign, scalar))


def _matches(refs: tuple[Ref, ...], pattern: str) -> Node:
    return _each(refs, lambda ref: Matches(ref, pattern))


def _each(refs: tuple[Ref, ...], term: Callable[[Ref], Term]) -> Node:
    made = tuple(check_term(term(ref)) for ref in refs)
    return made[0] if len(made) == 1 else AnyOf(made)


def _scalar(ref: Ref, value: Any) -> Value:
    if isinstance(value, str | int | float | None):
        return value
    remedy = f'write "{ref}": {{"$in": […]}} for one of several, {{"$all": […]}} for lists that hold them all'
    raise TermError(f"{ref} can't be compared with {_shorten(value)}", remedy)


def _list(name: str, operator: str, value: Any) -> list[Any]:
    if isinstance(value, list) and value:
        return value
    raise TermError(f"{name}: {operator} needs a list with something in it", f'write "{operator}": ["a", "b"]')


def _pattern(name: str, value: Any, options: Any) -> str:
    if not isinstance(value, str):
        raise TermError(f"{name}: $regex needs a text", 'write "$regex": "^a.*b$"')
    if not isinstance(options, str) or set(options) - set(_OPTIONS):
        raise TermError(f"{name}: $options knows no {_shorten(options)}", "write letters of i, m and s")
    flags = "".join(sorted(set(options)))
    return f"(?{flags}){value}" if flags else value


def _shorten(value: Any) -> str:
    return shorten(json.dumps(value), 60)
