"""Size of nested lists and dicts, without writing out the parts that several places share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

MAX_DEPTH: Final = 32
"""Levels of lists and dicts that are stored."""

CONTAINERS: Final = (dict, list, tuple)
DICTS: Final = (dict,)


def count_parts(value: Any, containers: tuple[type[Any], ...] = CONTAINERS) -> int:
    """Return the number of leaves and containers that a value has when shared parts are written at each place.

    The work is linear in the distinct containers. Of a container within itself, of what is nested deeper than
    MAX_DEPTH, and of objects of other types, only one part is counted: they are found when the value is converted.

    Args:
        containers: CONTAINERS, or DICTS to count lists as leaves.
    """
    return _count(value, containers, {}, 0)


def _count(value: Any, containers: tuple[type[Any], ...], known: dict[int, int], depth: int) -> int:
    if not isinstance(value, containers) or depth > MAX_DEPTH:
        return 1
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = 1
    parts = 1
    items: Iterable[Any] = dict.values(value) if isinstance(value, dict) else value
    for item in items:
        # Most items are scalars: a call for each would take several times as long.
        parts += _count(item, containers, known, depth + 1) if isinstance(item, containers) else 1
    known[id(value)] = parts
    return parts
