"""Charts of values as Plotly figures; names and arguments follow `wandb.plot`."""

from stepwell.plot.charts import (
    bar,
    confusion_matrix,
    histogram,
    line,
    line_series,
    pr_curve,
    roc_curve,
    scatter,
)
from stepwell.plot.custom import plot_table

__all__ = [
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
]
