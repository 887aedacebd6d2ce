"""The run that callbacks log to, and rules that several of them share."""

from __future__ import annotations

from typing import Final, Literal

from stepwell.errors import UsageError
from stepwell.session.live_runs import current_run
from stepwell.session.run import Run

_LOWER: Final = frozenset(
    {
        "error",
        "fair",
        "gamma",
        "huber",
        "l1",
        "l2",
        "mae",
        "mape",
        "merror",
        "mphe",
        "mse",
        "poisson",
        "rmse",
        "rmsle",
    }
)
_HIGHER: Final = frozenset({"auc", "aucpr", "average_precision", "map", "ndcg", "pre"})


def require_run(callback: str) -> Run:
    """Return the current run. Raises: UsageError if there is none."""
    run = current_run()
    if run is None:
        raise UsageError(f"call stepwell.init() before {callback}()")
    return run


def best_of(metric: str) -> Literal["min", "max"] | None:
    """Return the summary that is a metric's best value, judged by its name; None for a name that says nothing."""
    name = metric.lower().partition("@")[0]
    if name in _HIGHER:
        return "max"
    return "min" if name in _LOWER or "loss" in name else None
