"""Paths of keys into a run's documents: `a.b.c` in config or summary.

A key may contain dots itself, so several keys may spell one path. The rule is the same wherever a path is read: here,
in the table `run_values` that filters and orders read, and in the groups of series. The value with the fewest keys on
its way counts; among those with equally many, the first in the document. Null is a value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

MISSING: Final = object()
_LEVELS: Final = 8


def value_at_path(document: Mapping[str, Any], path: str, default: Any = MISSING) -> Any:
    """Return the value at a path, or `default` if there is none.

    With {"a.b": {"c": 1}, "a": {"b": {"c": 2}}}, the path `a.b.c` has the value 1: two keys against three.
    """
    level: list[tuple[Mapping[str, Any], str]] = [(document, path)]
    while level:
        for mapping, rest in level:
            if rest in mapping:
                return mapping[rest]
        level = [step for mapping, rest in level for step in _enter(mapping, rest)]
    return default


def _enter(mapping: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the dicts that lie on a path, in the order of the document, each with the rest of the path."""
    dots = (place for place, character in enumerate(path) if character == ".")
    heads = [path[:dot] for dot in dots if isinstance(mapping.get(path[:dot]), Mapping)]
    if len(heads) > 1:
        among = set(heads)
        heads = [key for key in mapping if key in among]
    for head in heads:
        yield mapping[head], path[len(head) + 1 :]


def leaf_paths(document: Mapping[str, Any], levels: int = _LEVELS) -> Iterator[str]:
    """Yield the paths of a document's values; a dict nested more than `levels` deep is one value."""
    for key, value in document.items():
        if isinstance(value, Mapping) and value and levels > 1:
            for rest in leaf_paths(value, levels - 1):
                yield f"{key}.{rest}"
        else:
            yield key


def select_paths(
    document: Mapping[str, Any], paths: Collection[str], prefix: str = "", levels: int = _LEVELS
) -> dict[str, Any]:
    """Return a document with only the values at the given paths."""
    selected: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and levels > 1:
            inner = select_paths(value, paths, f"{path}.", levels - 1)
            if inner:
                selected[key] = inner
        elif path in paths:
            selected[key] = value
    return selected
