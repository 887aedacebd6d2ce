"""The callback of LightGBM, with wandb's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stepwell.errors import UsageError
from stepwell.integration.boosters import log_importance, model_path
from stepwell.integration.current import require_run

__all__ = ["log_summary", "wandb_callback"]

_MEAN_AND_DEVIATION: Final = 5


class _Callback:
    """The callback: LightGBM calls it after each iteration, in order of `order`."""

    order = 20
    before_iteration = False

    def __init__(self, *, log_params: bool, define_metric: bool) -> None:
        self._log_params = log_params
        self._define_metric = define_metric
        self._run = require_run("wandb_callback")

    def __call__(self, env: Any) -> None:
        results = [*_read_results(env.evaluation_result_list or ())]
        if env.iteration == env.begin_iteration:
            if self._log_params:
                self._run.config.update(env.params)
            if self._define_metric:
                for key, _, best in results:
                    self._run.define_metric(key, summary=best)
        self._run.log({**{key: value for key, value, _ in results}, "iteration": env.iteration})


def _read_results(evaluations: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Any, str | None]]:
    """Yield key, value and best summary of evaluations: `data_metric`, with -mean and -stdv for those of `cv()`."""
    for evaluation in evaluations:
        data, metric, value, higher_is_better = evaluation[:4]
        best = "max" if higher_is_better else "min"
        if len(evaluation) < _MEAN_AND_DEVIATION:
            yield f"{data}_{metric}", value, best
            continue
        if " " in metric:
            # Releases before 4.6 give both names in the second one.
            data, metric = metric.split(" ", 1)
        yield f"{data}_{metric}-mean", value, best
        yield f"{data}_{metric}-stdv", evaluation[4], "min"


def wandb_callback(log_params: bool = True, define_metric: bool = True) -> Callable[[Any], None]:
    """Return a callback of `lightgbm.train()` and `cv()` that logs the evaluations of each iteration.

    Args:
        log_params: store the parameters of the training in the run's config. define_metric: summarize evaluations by
            their best value instead of the last one.

    Raises:
        UsageError: before `init()`.
    """
    return _Callback(log_params=log_params, define_metric=define_metric)


def log_summary(model: Any, feature_importance: bool = True, save_model_checkpoint: bool = False) -> None:
    """Log a trained booster's best iteration and score, and its feature importance.

    Args:
        save_model_checkpoint: save the model to `run.dir`; it is not sent.

    Raises:
        UsageError: before `init()`, and for a model that is no Booster.
    """
    run = require_run("log_summary")
    if not all(hasattr(model, name) for name in ("best_iteration", "best_score", "feature_importance")):
        raise UsageError(f"log_summary() takes a lightgbm.Booster, not {type(model).__name__}")
    run.summary["best_iteration"] = model.best_iteration
    run.summary["best_score"] = model.best_score
    if feature_importance:
        importance = zip(model.feature_name(), model.feature_importance().tolist(), strict=True)
        log_importance(run, importance, commit=False)
    if save_model_checkpoint:
        path = model_path(run, f"model_ckpt_{model.best_iteration}.txt")
        model.save_model(path, num_iteration=model.best_iteration)
