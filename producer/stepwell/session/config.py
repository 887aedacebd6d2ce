"""`run.config`: the configuration of a run, accessed by attribute or item; changes are sent immediately."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from stepwell.values.metadata import metadata_mapping


class Config(MutableMapping[str, Any]):
    """A mapping with attribute access. Values are converted to JSON's types; others are stored as their `str`."""

    def __init__(self, send: Callable[[dict[str, Any], list[str]], None], values: Mapping[str, Any]) -> None:
        self._send = send
        self._values = metadata_mapping(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._send({}, [key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are plain dicts: they belong to no run."""
        return dict, (self.as_dict(),)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def update(self, values: Any = None, allow_val_change: bool | None = None, **more: Any) -> None:  # type: ignore[override]  # noqa: ARG002
        """Set several values in one event, from a mapping or a namespace (argparse)."""
        ready = metadata_mapping({**as_mapping(values), **more})
        self._values.update(ready)
        self._send(ready, [])

    def setdefaults(self, values: Any) -> None:
        """Set the values of keys that are not set yet."""
        defaults = metadata_mapping(as_mapping(values))
        self.update({key: value for key, value in defaults.items() if key not in self._values})

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as a plain dict."""
        return dict(self._values)


def as_mapping(values: Any) -> Mapping[Any, Any]:
    """Return a config argument (None, a mapping, pairs or a namespace) as a mapping. Raises: TypeError."""
    if isinstance(values, str | bytes):
        raise TypeError(
            f"config {values[:80]!r}: must be a dict, a namespace or pairs; parse a file first: "
            "config=yaml.safe_load(open(path))"
        )
    if values is None:
        return {}
    if isinstance(values, Mapping):
        return values
    if hasattr(values, "__dict__"):
        return dict(vars(values))
    try:
        return dict(values)
    except (TypeError, ValueError):
        raise TypeError(f"config must be a dict, a namespace or pairs, not {type(values).__name__}") from None
