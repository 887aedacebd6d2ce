"""`run.summary`: each key's last value, or what `define_metric` says, or what the user set.

Last values are not kept at every call: they are looked up in the layouts when somebody asks. Only keys with a
`define_metric` summary are followed as they are logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from stepwell.descriptions import described_mapping
from stepwell_schemas.keys import check_key

SUMMARY_RULES = frozenset({"min", "max", "mean", "last", "first", "best", "copy", "none"})
GOALS = frozenset({None, "minimize", "maximize"})


class Metric(NamedTuple):
    """What `define_metric` was told of a metric; `name` may be a glob ending in `*`."""

    name: str
    step_metric: str | None = None
    summary: tuple[str, ...] = ()
    goal: str | None = None
    hidden: bool = False

    @property
    def glob(self) -> bool:
        """Whether the name stands for many keys."""
        return "*" in self.name

    def matches(self, key: str) -> bool:
        """Whether the definition is about `key`."""
        return fnmatchcase(key, self.name) if self.glob else key == self.name


def make_metric(name: str, step_metric: Any, summary: str | None, goal: str | None, hidden: bool | None) -> Metric:
    """Return a definition as `define_metric` was asked for it. Raises: KeyRuleError, ValueError."""
    check_key(name)
    x_axis = step_metric.name if isinstance(step_metric, Metric) else step_metric
    if x_axis is not None:
        check_key(x_axis)
    rules = tuple(rule.strip() for rule in summary.split(",")) if summary else ()
    if unknown := set(rules) - SUMMARY_RULES:
        raise ValueError(f"summary {sorted(unknown)}: must be of {', '.join(sorted(SUMMARY_RULES))}")
    if goal not in GOALS:
        raise ValueError(f"goal {goal!r}: must be minimize or maximize")
    return Metric(name, x_axis, tuple(rule for rule in rules if rule != "copy"), goal, bool(hidden))


class Followed:
    """The running minimum, maximum, mean, first and last of one key's numbers (NaN left out)."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._count = 0
        self._total = 0.0
        self._seen: dict[str, Any] = {}

    def add(self, value: Any) -> None:
        """Take one more value."""
        value = plain_scalar(value)
        self._seen.setdefault("first", value)
        self._seen["last"] = value
        if isinstance(value, str) or value != value:
            return
        self._count += 1
        self._total += float(value)
        seen = self._seen
        seen["min"] = value if "min" not in seen or value < seen["min"] else seen["min"]
        seen["max"] = value if "max" not in seen or value > seen["max"] else seen["max"]

    def result(self) -> dict[str, Any]:
        """Return what the definition asks for, by rule."""
        known = dict(self._seen)
        if self._count:
            known["mean"] = self._total / self._count
            known["best"] = known["max" if (self._metric.goal or "min").startswith("max") else "min"]
        return {rule: known[rule] for rule in self._metric.summary if rule in known}


def plain_scalar(value: Any) -> Any:
    """Return a scalar of numpy as Python's own."""
    return value.item() if hasattr(value, "item") else value


class Summary(MutableMapping[str, Any]):
    """A mapping that computes itself when read; what is set is sent, and is not overwritten by later values."""

    def __init__(
        self, logged: Callable[[], Mapping[str, Any]], send: Callable[[dict[str, Any], list[str]], None]
    ) -> None:
        self._logged = logged
        self._send = send
        self._explicit: dict[str, Any] = {}

    def _now(self) -> dict[str, Any]:
        return {**self._logged(), **self._explicit}

    def __getitem__(self, key: str) -> Any:
        return self._now()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._explicit[key]
        self._send({}, [key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return repr(self._now())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def update(self, *others: Any, **more: Any) -> None:
        """Set several values in one event; what has no JSON is set as its `str`."""
        ready = described_mapping(dict(*others, **more))
        self._explicit.update(ready)
        self._send(ready, [])
