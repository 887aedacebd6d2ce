"""The callback of XGBoost, with wandb's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xgboost import callback

from stepwell.integration.boosters import log_importance, model_path
from stepwell.integration.current import best_of, require_run

__all__ = ["WandbCallback"]


class WandbCallback(callback.TrainingCallback):
    """Log the evaluations of each iteration, the booster's configuration, its best score and feature importance.

    Args:
        log_model: save the model to `run.dir` after training; it is not sent.
        log_feature_importance: log a bar chart of the importance after training. importance_type: its kind: `weight`,
            `gain`, `cover`, `total_gain` or `total_cover`.
        define_metric: summarize evaluations by their best value instead of the last one.

    Raises:
        UsageError: before `init()`.
    """

    def __init__(
        self,
        log_model: bool = False,
        log_feature_importance: bool = True,
        importance_type: str = "gain",
        define_metric: bool = True,
    ) -> None:
        super().__init__()
        self.log_model = log_model
        self.log_feature_importance = log_feature_importance
        self.importance_type = importance_type
        self.define_metric = define_metric
        self._run = require_run("WandbCallback")
        self._defined: set[str] = set()

    def before_training(self, model: Any) -> Any:
        """Store the booster's configuration in the run's."""
        self._run.config.update(json.loads(model.save_config()))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]) -> bool:  # noqa: ARG002
        """Log the newest value of each evaluation as `data-metric`; training continues."""
        row: dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                key = f"{data}-{metric}"
                row[key] = values[-1]
                self._define(key, metric)
        self._run.log({**row, "epoch": epoch})
        return False

    def after_training(self, model: Any) -> Any:
        """Log the importance and the best score, and save the model."""
        if self.log_model:
            model.save_model(model_path(self._run, f"{self._run.id}_model.json"))
        if self.log_feature_importance:
            log_importance(self._run, model.get_score(importance_type=self.importance_type).items())
        best = model.attr("best_score")
        if best is not None:
            self._run.log({"best_score": float(best), "best_iteration": int(model.attr("best_iteration"))})
        return model

    def _define(self, key: str, metric: str) -> None:
        if not self.define_metric or key in self._defined:
            return
        self._defined.add(key)
        if best := best_of(metric):
            self._run.define_metric(key, summary=best)
