"""`run.summary`: each key's last value, or the summary that `define_metric` requests, or a value set by the user.

`log()` does not update it: last values are looked up in the layouts when the summary is read. Only keys with a
`define_metric` summary are tracked as they are logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from stepwell.values.metadata import metadata_mapping
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.metric_definitions import GOALS, SUMMARY_RULES
from stepwell_schemas.rules.metric_definitions import Definition as Metric

__all__ = ["Metric", "Summary", "make_metric"]


def make_metric(
    name: str,
    step_metric: Any,
    summary: str | None,
    goal: str | None,
    hidden: bool | None,
    step_sync: bool | None,
    before: Metric | None,
) -> Metric:
    """Return the definition for arguments of `define_metric`; arguments that are None keep the value of `before`.

    Raises:
        KeyRuleError: for a name or step metric that is no valid key. ValueError: for an unknown summary or goal.
    """
    check_key(name)
    before = before or Metric(name)
    x_axis = step_metric.name if isinstance(step_metric, Metric) else step_metric
    if x_axis is not None:
        check_key(x_axis)
    rules = tuple(rule.strip().lower() for rule in summary.split(",")) if summary else ()
    if unknown := set(rules) - set(SUMMARY_RULES):
        raise ValueError(f"summary {sorted(unknown)}: must be one or more of {', '.join(SUMMARY_RULES)}")
    if goal is not None and goal not in GOALS:
        raise ValueError(f"goal {goal!r}: must be minimize or maximize")
    return Metric(
        name=name,
        step_metric=x_axis or before.step_metric,
        summary=rules or before.summary,
        goal=goal or before.goal,
        hidden=before.hidden if hidden is None else hidden,
        step_sync=before.step_sync if step_sync is None else step_sync,
    )


class Summary(MutableMapping[str, Any]):
    """A mapping that is computed when read. Values set by the user are sent, and later rows don't change them."""

    def __init__(
        self,
        logged: Callable[[], Mapping[str, Any]],
        send: Callable[[dict[str, Any], list[str]], None],
        known: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin with the `known` values that the user set in earlier sessions."""
        self._logged = logged
        self._send = send
        self._explicit: dict[str, Any] = dict(known or {})

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are plain dicts: they belong to no run."""
        return dict, (self._now(),)

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
        """Set several values in one event; values without a JSON form are set as their `str`."""
        ready = metadata_mapping(dict(*others, **more))
        self._explicit.update(ready)
        self._send(ready, [])
