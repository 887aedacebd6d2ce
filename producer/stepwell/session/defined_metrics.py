"""`define_metric` of a run."""

from __future__ import annotations

from typing import Any

from stepwell.recording.summary import Metric, make_metric
from stepwell.session.properties import RunProperties
from stepwell_schemas.rules.keys import fold_key


class DefinedMetrics(RunProperties):
    """The metric definitions of a run, those of earlier sessions included."""

    _metrics: dict[str, Metric]

    def _restore_metrics(self) -> None:
        """Continue with the definitions, last values and figures of earlier sessions, which are stored already."""
        known = self._spec.known
        self._metrics = {fold_key(name): metric for name, metric in known.definitions.items()}
        for metric in self._metrics.values():
            # Not stored, so that it may have been False: nothing is added to rows until the script defines it again.
            self._rows.define(metric._replace(step_sync=False))
        self._rows.restore(known.logged, known.figures)

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        goal: str | None = None,
    ) -> Metric:
        """Define how a metric is drawn and summarized.

        A definition of the key itself takes precedence over patterns; of several patterns, the last one applies.

        Args:
            name: a key, or a pattern such as `val/*`.
            step_metric: the key on its x axis. hidden: do not draw it by default.
            step_sync: add the newest value of `step_metric` to rows that lack it; default: True.
            summary: one or more of min, max, mean, best, first, last, copy, none, separated by commas. Figures add to
                those of earlier calls for the name; copy and none replace them.
            overwrite: discard earlier definitions of `name`; otherwise, omitted arguments keep their values.
            goal: `minimize` or `maximize`, for `best`.

        Raises:
            KeyRuleError: for a name or step metric that is no valid key. ValueError: for an unknown summary or goal.
        """
        before = None if overwrite else self._metrics.get(fold_key(name))
        metric = make_metric(name, step_metric, summary, goal, hidden, step_sync, before)
        self._metrics[fold_key(name)] = metric
        self._rows.define(metric)
        definition = {
            "name": name,
            "step_metric": metric.step_metric,
            "summary": ",".join(metric.summary) or None,
            "goal": metric.goal,
            "hidden": metric.hidden,
            "glob": metric.glob,
        }
        self._write_event("RunUpdated", metrics=[definition])
        return metric
