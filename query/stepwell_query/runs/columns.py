"""The columns that config and summary make of a list of runs: which are shown, and their values. Pure.

A column is a path of keys, `config.optimizer.lr`; a key that holds dots itself is found by the same path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stepwell_query.runs.filters.ast import Source

COLUMNS_MAX: Final = 500
"""Columns of config and summary that a list of runs shows; all are stored, and found by search."""

MISSING: Final = object()
_LEVELS: Final = 8


def at_path(document: Mapping[str, Any], path: str) -> Any:
    """Return what is at a path, or MISSING: as one key of the document, else within the dict of a shorter one."""
    if path in document:
        return document[path]
    place = path.find(".")
    while place >= 0:
        inner = document.get(path[:place])
        if isinstance(inner, Mapping):
            found = at_path(inner, path[place + 1 :])
            if found is not MISSING:
                return found
        place = path.find(".", place + 1)
    return MISSING


def leaves(document: Mapping[str, Any], levels: int = _LEVELS) -> Iterator[str]:
    """Yield the paths of a document's values; what is deeper than `levels` is one value."""
    for key, value in document.items():
        if isinstance(value, Mapping) and value and levels > 1:
            for rest in leaves(value, levels - 1):
                yield f"{key}.{rest}"
        else:
            yield key


def pruned(
    document: Mapping[str, Any], kept: Collection[str], above: str = "", levels: int = _LEVELS
) -> dict[str, Any]:
    """Return a document with those of its values alone whose paths are in `kept`."""
    left: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value and levels > 1:
            inner = pruned(value, kept, f"{path}.", levels - 1)
            if inner:
                left[key] = inner
        elif path in kept:
            left[key] = value
    return left


def chosen_columns(documents: Iterable[Mapping[Source, Mapping[str, Any]]]) -> tuple[list[tuple[Source, str]], int]:
    """Return the columns to show of runs where none were asked for, and how many there are: the most common first."""
    counts: Counter[tuple[Source, str]] = Counter()
    for document in documents:
        for source, content in document.items():
            counts.update((source, path) for path in set(leaves(content)))
    ranked: Sequence[tuple[Source, str]] = sorted(counts, key=lambda column: (-counts[column], column))
    return list(ranked[:COLUMNS_MAX]), len(ranked)
