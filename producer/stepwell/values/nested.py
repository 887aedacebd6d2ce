"""Dicts and lists within config and summary; changes to them are sent: `config.opt.lr = 1`, `summary["best"]["a"] = 2`.

They are a `dict` and a `list`, so that scripts pass them on as such. Copies of them are plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

from stepwell.values.metadata_conversion import OMITTED


class Owner:
    """The access of the parts of one value to what they belong to.

    Args:
        convert: converts a dict or list that is set, given its path, to JSON's types or OMITTED.
        changed: called after each change.
    """

    def __init__(self, convert: Callable[[str, Any], Any], changed: Callable[[], None]) -> None:
        self._convert = convert
        self.changed = changed

    def adopt(self, value: Any, path: str) -> Any:
        """Return converted metadata with its dicts and lists as nested ones of this owner."""
        if isinstance(value, dict):
            nested = NestedDict(self, path)
            for key, item in value.items():
                dict.__setitem__(nested, key, self.adopt(item, f"{path}.{key}"))
            return nested
        if isinstance(value, list):
            return NestedList(self, path, (self.adopt(item, f"{path}[{place}]") for place, item in enumerate(value)))
        return value

    def take(self, values: Any, path: str) -> Any:
        """Convert a dict or a list of values that are set; the result shares no part with it."""
        ready = self._convert(path, values)
        if ready is OMITTED:
            ready = {} if isinstance(values, dict) else [None] * len(values)
        return self.adopt(ready, path)


def to_plain_containers(value: Any) -> Any:
    """Return a copy of metadata that consists of plain dicts and lists."""
    if isinstance(value, dict):
        return {key: to_plain_containers(item) for key, item in value.items()}
    return [to_plain_containers(item) for item in value] if isinstance(value, list) else value


class NestedDict(dict[str, Any]):
    """A dict with attribute access, as part of config or summary."""

    __slots__ = ("_owner", "_path")

    def __init__(self, owner: Owner, path: str) -> None:
        super().__init__()
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_path", path)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *others: Any, **more: Any) -> None:
        """Set several values in one event."""
        # Converted as a whole, so that keys become texts as well.
        given = self._owner.take(dict(*others, **more), self._path)
        for key, value in given.items():
            super().__setitem__(key, value)
        self._owner.changed()

    def __ior__(self, other: Any) -> NestedDict:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a value, after setting it if it is not there."""
        if key not in self:
            self[key] = default
        return self.get(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._owner.changed()

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value."""
        value = super().pop(key, *default)
        self._owner.changed()
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the newest key and return it with its value."""
        item = super().popitem()
        self._owner.changed()
        return item

    def clear(self) -> None:
        """Remove all keys."""
        super().clear()
        self._owner.changed()

    def copy(self) -> dict[str, Any]:
        """Return a plain copy."""
        plain: dict[str, Any] = to_plain_containers(self)
        return plain

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (self.copy(),)


class NestedList(list[Any]):
    """A list as part of config or summary."""

    __slots__ = ("_owner", "_path")

    def __init__(self, owner: Owner, path: str, items: Iterable[Any]) -> None:
        super().__init__(items)
        self._owner = owner
        self._path = path

    def _take(self, values: Iterable[Any]) -> list[Any]:
        taken: list[Any] = self._owner.take(list(values), self._path)
        return taken

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, self._take(value) if isinstance(index, slice) else self._take([value])[0])
        self._owner.changed()

    def append(self, value: Any) -> None:
        """Add a value at the end."""
        self.extend([value])

    def extend(self, values: Iterable[Any]) -> None:
        """Add several values at the end."""
        super().extend(self._take(values))
        self._owner.changed()

    def __iadd__(self, values: Iterable[Any]) -> NestedList:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, count: SupportsIndex) -> NestedList:
        self[:] = list(self) * count
        return self

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Insert a value before an index."""
        super().insert(index, self._take([value])[0])
        self._owner.changed()

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        self._owner.changed()

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove an item and return it."""
        value = super().pop(index)
        self._owner.changed()
        return value

    def remove(self, value: Any) -> None:
        """Remove the first item that equals a value."""
        super().remove(value)
        self._owner.changed()

    def clear(self) -> None:
        """Remove all items."""
        super().clear()
        self._owner.changed()

    def sort(self, **options: Any) -> None:
        """Sort the items; the options are those of `list.sort`."""
        super().sort(**options)
        self._owner.changed()

    def reverse(self) -> None:
        """Reverse the order of the items."""
        super().reverse()
        self._owner.changed()

    def copy(self) -> list[Any]:
        """Return a plain copy."""
        plain: list[Any] = to_plain_containers(self)
        return plain

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return list, (self.copy(),)
