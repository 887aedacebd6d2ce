"""`run.config`: the configuration of a run, accessed by attribute or item; changes are sent immediately."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from stepwell.values.config_objects import find_members
from stepwell.values.metadata import MetadataReporter
from stepwell.values.metadata_conversion import MetadataConversion, Report
from stepwell.values.nested import Owner, to_plain_containers


class Config(MutableMapping[str, Any]):
    """A mapping with attribute access. Values are converted by `MetadataConversion`.

    Dicts and lists within it send their changes, too: `config.optimizer.lr = 0.1`.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any], list[str]], None],
        values: Mapping[str, Any],
        report: Report | None = None,
    ) -> None:
        self._send = send
        self._report = report or MetadataReporter("config")
        self._values: dict[str, Any] = {}
        self._set(values)

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
        """Set several values in one event, from a mapping or a configuration object; see `find_members`."""
        self._send(self._set({**as_mapping(values), **more}), [])

    def setdefaults(self, values: Any) -> None:
        """Set the values of keys that are not set yet."""
        defaults = MetadataConversion(self._report).convert_mapping(as_mapping(values))
        self.update({key: value for key, value in defaults.items() if key not in self._values})

    def as_dict(self) -> dict[str, Any]:
        """Return a copy that consists of plain dicts and lists."""
        return {key: to_plain_containers(value) for key, value in self._values.items()}

    def _set(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        ready = MetadataConversion(self._report).convert_mapping(values)
        for key, value in ready.items():
            self._values[key] = self._adopt(key, value)
        return ready

    def _adopt(self, key: str, value: Any) -> Any:
        """Return a value whose changes are sent as long as it is the value of the key."""

        def changed() -> None:
            if self._values.get(key) is adopted:
                self._send({key: to_plain_containers(adopted)}, [])

        owner = Owner(lambda path, given: MetadataConversion(self._report).convert_member(path, given), changed)
        adopted = owner.adopt(value, key)
        return adopted


def select_keys(
    values: Mapping[Any, Any], included: Sequence[str] | None, excluded: Sequence[str] | None
) -> dict[Any, Any]:
    """Return the items with included keys (all if none are given) that are not excluded."""
    return {
        key: value
        for key, value in values.items()
        if (not included or key in included) and (not excluded or key not in excluded)
    }


def as_mapping(values: Any) -> Mapping[Any, Any]:
    """Return a config argument (None, a mapping, a configuration object or pairs) as a mapping. Raises: TypeError."""
    if isinstance(values, str | bytes):
        raise TypeError(
            f"config {values[:80]!r}: must be a dict, a configuration object or pairs; parse a file first: "
            "config=yaml.safe_load(open(path))"
        )
    if values is None:
        return {}
    members = find_members(values)
    if members is not None:
        return dict(members)
    if isinstance(values, type):
        return {name: value for name, value in vars(values).items() if not name.startswith("__")}
    if hasattr(values, "__dict__"):
        return dict(vars(values))
    try:
        return dict(values)
    except (TypeError, ValueError):
        raise TypeError(
            f"config must be a dict, a configuration object or pairs, not {type(values).__name__}"
        ) from None
