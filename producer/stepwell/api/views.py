"""Read-only views of what can't be changed of a stored run, such as its metadata.

They are dicts and lists for every reader (`isinstance`, `==`, `json.dumps`, `dict(…)`). What would change them raises
UnsupportedError. Copies are plain dicts and lists, which belong to the script.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any, NoReturn

from stepwell.errors import UnsupportedError


def read_only(value: Any, remedy: str) -> Any:
    """Return a dict or list as a read-only view whose errors have the remedy; other values unchanged."""
    if isinstance(value, dict):
        return ReadOnlyDict(value, remedy)
    return ReadOnlyList(value, remedy) if isinstance(value, list) else value


class ReadOnlyDict(dict[str, Any]):
    """A dict that raises UnsupportedError on changes; nested dicts and lists are views, too.

    The items are stored plain, and become views when they are read: `dict(view)`, `{**view}`, `view.copy()`, `copy`,
    `deepcopy` and `pickle` give plain dicts, also within.
    """

    __slots__ = ("_remedy",)

    _remedy: str

    def __init__(self, values: Mapping[str, Any], remedy: str) -> None:
        super().__init__(values)
        object.__setattr__(self, "_remedy", remedy)

    def __reduce_ex__(self, _: Any) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __getitem__(self, key: str) -> Any:
        return read_only(super().__getitem__(key), self._remedy)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        return read_only(super().get(key, default), self._remedy) if key in self else default

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return the values."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return the keys with their values."""
        return ItemsView(self)

    def pop(self, key: str, *default: Any) -> Any:
        """Return the default for a missing key, which changes nothing. Raises: UnsupportedError for an existing one."""
        if key not in self and default:
            return default[0]
        raise UnsupportedError(self._remedy)

    def setdefault(self, key: str, default: Any = None) -> Any:  # noqa: ARG002
        """Return the value of an existing key. Raises: UnsupportedError for a missing one."""
        return self[key] if key in self else self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise UnsupportedError(self._remedy)

    # A mixin of both classes is not possible: the methods of dict and list would come first.
    __setattr__ = __delattr__ = __setitem__ = __delitem__ = __ior__ = _refuse
    update = clear = popitem = _refuse


class ReadOnlyList(list[Any]):
    """A list that raises UnsupportedError on changes; nested dicts and lists are views, slices and copies plain."""

    __slots__ = ("_remedy",)

    _remedy: str

    def __init__(self, values: Sequence[Any], remedy: str) -> None:
        super().__init__(values)
        object.__setattr__(self, "_remedy", remedy)

    def __reduce_ex__(self, _: Any) -> tuple[type, tuple[list[Any]]]:
        return list, (self[:],)

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        return value if isinstance(index, slice) else read_only(value, self._remedy)

    def __iter__(self) -> Iterator[Any]:
        return (read_only(value, self._remedy) for value in super().__iter__())

    def __reversed__(self) -> Iterator[Any]:
        return (read_only(value, self._remedy) for value in super().__reversed__())

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise UnsupportedError(self._remedy)

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
