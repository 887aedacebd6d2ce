"""Copy-on-write mappings: a flush's changes are kept in a layer over the mapping before the flush.

Copying a run's state for each flush would cost time proportional to its size, however little the flush changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

ENTRY_BYTES: Final = 120
"""Memory of a dict's entry with a small integer as value, without its key."""

_NAME_ENTRY_BYTES: Final = 48


class Layer(Mapping[K, V], Generic[K, V]):
    """Changes over a base mapping, which is not modified until `settle`."""

    __slots__ = ("base", "changed")

    def __init__(self, base: Known[K, V]) -> None:
        self.base = base
        self.changed: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        return self.changed[key] if key in self.changed else self.base[key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D, /) -> V | D: ...
    def get(self, key: K, default: object = None, /) -> object:
        """Return the value of a key, or the default."""
        # Not `Mapping.get`, which raises and catches a KeyError for each missing key.
        return self.changed[key] if key in self.changed else self.base.get(key, default)

    def __setitem__(self, key: K, value: V) -> None:
        self.changed[key] = value

    def setdefault(self, key: K, default: V) -> V:
        """Return the value of a key; set it to the default if it is missing."""
        if key in self:
            return self[key]
        self.changed[key] = default
        return default

    def __contains__(self, key: object) -> bool:
        return key in self.changed or key in self.base

    def __iter__(self) -> Iterator[K]:
        return chain(self.base, (key for key in self.changed if key not in self.base))

    def __len__(self) -> int:
        return len(self.base) + sum(key not in self.base for key in self.changed)

    def forget(self, key: K) -> None:
        """Revert the change of a key."""
        self.changed.pop(key, None)

    def growth(self) -> int:
        """Return the number of bytes by which the changed values of known keys are larger than before."""
        changed = ((key, value) for key, value in self.changed.items() if key in self.base)
        return sum(entry_bytes(key, value) - entry_bytes(key, self.base[key]) for key, value in changed)

    def settle(self) -> int:
        """Move the changes into the base; return the number of bytes added by new keys."""
        if not self.changed:
            return 0
        base, added = self.base, 0
        for key, value in self.changed.items():
            if key not in base:
                added += entry_bytes(key, value)
            base[key] = value
        self.changed = {}
        return added


Known = dict[K, V] | Layer[K, V]


def is_changed(known: Known[K, V]) -> bool:
    """Return True if a mapping has changes over another one."""
    return type(known) is Layer and bool(known.changed)


def get_many(known: Known[K, V], keys: Sequence[K]) -> list[V | None]:
    """Return the value of each key, None if it is missing; faster than one by one."""
    if isinstance(known, dict):
        return list(map(known.get, keys))
    values = get_many(known.base, keys)
    changed = known.changed
    return [changed.get(key, value) for key, value in zip(keys, values, strict=True)] if changed else values


def entry_bytes(key: object, value: object) -> int:
    """Estimate the memory of an entry, in constant time."""
    if key is value:
        # A spelling of a key, which is in two mappings: each counts half of it.
        return _NAME_ENTRY_BYTES + sys.getsizeof(key) // 2
    keys = key if isinstance(key, tuple) else (key,)
    size = 0 if isinstance(value, int) else sys.getsizeof(value)
    if isinstance(value, tuple):
        size += sum(map(sys.getsizeof, value))
    return ENTRY_BYTES + sum(map(sys.getsizeof, keys)) + size
