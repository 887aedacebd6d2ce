"""`run.summary`: each key's last value, or the summary that `define_metric` requests, or a value set by the user.

`log()` does not update it: last values are looked up in the layouts when the summary is read. Only keys with a
`define_metric` summary are tracked as they are logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from stepwell.values.metadata import MetadataReporter
from stepwell.values.metadata_conversion import MetadataConversion, Report
from stepwell.values.nested import Owner, to_plain_containers
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.metric_definitions import GOALS, SUMMARY_RULES, merge_rules
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
        summary=merge_rules(before.summary, rules),
        goal=goal or before.goal,
        hidden=before.hidden if hidden is None else hidden,
        step_sync=before.step_sync if step_sync is None else step_sync,
    )


class Summary(MutableMapping[str, Any]):
    """A mapping that is computed when read. Values set by the user are sent, and later rows don't change them.

    Media are stored as `log()` stores them, and read as their reference. Dicts and lists within it send their changes,
    too: `summary["best"]["acc"] = 0.9`.

    Args:
        logged: returns the summaries of what was logged. send: sends values, and keys that are removed.
        known: the values that the user set in earlier sessions.
        media: stores a media value and returns its reference, None for other values.
        hide: leaves a logged metric out of `logged` from now on.
        report: receives the path of a value that is not stored, and the rule.
    """

    def __init__(
        self,
        logged: Callable[[], Mapping[str, Any]],
        send: Callable[[dict[str, Any], list[str]], None],
        known: Mapping[str, Any] | None = None,
        media: Callable[[Any], Any] | None = None,
        hide: Callable[[str], object] | None = None,
        report: Report | None = None,
    ) -> None:
        self._logged = logged
        self._send = send
        self._media = media
        self._hide = hide
        self._report = report or MetadataReporter("summary")
        self._explicit: dict[str, Any] = {key: self._adopt(key, value) for key, value in (known or {}).items()}

    def _now(self) -> dict[str, Any]:
        return {**self._logged(), **self._explicit}

    def __getitem__(self, key: str) -> Any:
        value = self._now()[key]
        # What was logged becomes a value that is set when a part of it is changed.
        return value if key in self._explicit else self._adopt(key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        """Delete a value that was set, and hide a metric that was logged, as `define_metric(key, summary="none")`."""
        logged = key in self._logged()
        if key in self._explicit:
            del self._explicit[key]
            self._send({}, [key])
        elif not logged:
            raise KeyError(key)
        if logged and self._hide is not None:
            self._hide(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return repr(self._now())

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are plain dicts: they belong to no run."""
        return dict, (to_plain_containers(self._now()),)

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
        """Set several values in one event, converted by `MetadataConversion`."""
        ready = self._conversion().convert_mapping(dict(*others, **more))
        for key, value in ready.items():
            self._explicit[key] = self._adopt(key, value)
        self._send(ready, [])

    def _conversion(self) -> MetadataConversion:
        return MetadataConversion(self._report, self._media)

    def _adopt(self, key: str, value: Any) -> Any:
        """Return a value that is set, with its changes, as the value of the key."""

        def changed() -> None:
            self._explicit[key] = adopted
            self._send({key: to_plain_containers(adopted)}, [])

        owner = Owner(lambda path, given: self._conversion().convert_member(path, given), changed)
        adopted = owner.adopt(value, key)
        return adopted
