"""Log entries that the callbacks of XGBoost and LightGBM share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stepwell.media.table import Table
from stepwell.plot import bar
from stepwell.session.run import Run
from stepwell.terminal import notify


def log_importance(run: Run, features: Iterable[tuple[str, Any]], *, commit: bool | None = None) -> None:
    """Log a bar chart of the features' importance."""
    table = Table(columns=["Feature", "Importance"], data=[list(row) for row in features])
    run.log({"Feature Importance": bar(table, "Feature", "Importance", title="Feature Importance")}, commit=commit)


def model_path(run: Run, name: str) -> Path:
    """Return the path of a model in the run's folder, and report it: the model is kept there, and not sent."""
    path = Path(run.dir, name)
    notify(f"{run.id}: the model is kept in {path}; it is not sent")
    return path
