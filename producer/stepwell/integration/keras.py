"""Callbacks of Keras, with wandb's names: metrics, checkpoints and tables of predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from keras import callbacks

from stepwell.integration.current import require_run
from stepwell.media.table import Table
from stepwell.wandb_compat import FILES, notify_once

__all__ = ["WandbEvalCallback", "WandbMetricsLogger", "WandbModelCheckpoint"]

_Logs = Mapping[str, Any] | None


class WandbMetricsLogger(callbacks.Callback):  # type: ignore[misc]
    """Log the metrics of `fit()` and the learning rate, per epoch or per batch.

    Args:
        log_freq: `epoch`: rows `epoch/…` over `epoch/epoch`; `batch` or a number of batches: rows `batch/…` over
            `batch/batch_step`, as well as those of epochs.
        initial_global_step: the number of batches of earlier sessions, for a schedule of the learning rate.

    Raises:
        UsageError: before `init()`.
    """

    def __init__(self, log_freq: Literal["epoch", "batch"] | int = "epoch", initial_global_step: int = 0) -> None:
        super().__init__()
        self._run = require_run("WandbMetricsLogger")
        self._every = 1 if log_freq == "batch" else log_freq if isinstance(log_freq, int) else None
        self._batch_step = 0
        self._global_step = initial_global_step
        kinds = [("epoch", "epoch/epoch")]
        if self._every is not None:
            kinds.append(("batch", "batch/batch_step"))
        for kind, axis in kinds:
            self._run.define_metric(axis)
            self._run.define_metric(f"{kind}/*", step_metric=axis)

    def on_epoch_end(self, epoch: int, logs: _Logs = None) -> None:
        """Log the epoch's metrics, those of validation included."""
        self._log("epoch", logs, {"epoch/epoch": epoch})

    def on_train_batch_end(self, batch: int, logs: _Logs = None) -> None:
        """Log the batch's metrics, if it is one of those to be logged."""
        self._global_step += 1
        if self._every is not None and batch % self._every == 0:
            self._log("batch", logs, {"batch/batch_step": self._batch_step})
            self._batch_step += self._every

    def _log(self, kind: str, logs: _Logs, axis: dict[str, Any]) -> None:
        row = {f"{kind}/{key}": value for key, value in (logs or {}).items()}
        rate = _learning_rate(self.model.optimizer, self._global_step)
        if rate is not None:
            row[f"{kind}/learning_rate"] = rate
        self._run.log({**row, **axis})


def _learning_rate(optimizer: Any, step: int) -> float | None:
    """Return the current learning rate, of a schedule too; None, with a notice, if the optimizer gives none."""
    try:
        rate = optimizer.learning_rate
        if callable(rate):
            rate = rate(step)
        return float(rate.numpy() if hasattr(rate, "numpy") else rate)
    except Exception as error:
        # Optimizers, backends and schedules are foreign code; a missing rate must not end a training.
        notify_once(f"the learning rate is not logged: {type(error).__name__}: {error}")
        return None


class WandbModelCheckpoint(callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Keras' `ModelCheckpoint`, with its arguments: checkpoints are saved to `filepath`, and not sent.

    Raises:
        UsageError: before `init()`.
    """

    def __init__(self, filepath: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        require_run("WandbModelCheckpoint")
        super().__init__(filepath, *args, **kwargs)
        notify_once(f"WandbModelCheckpoint saves checkpoints as Keras does, and does not send them: {FILES}")


class WandbEvalCallback(callbacks.Callback, ABC):  # type: ignore[misc]
    """Base class of callbacks that log predictions as a table after each epoch.

    A subclass fills `data_table` in `add_ground_truth`, and `pred_table` in `add_model_predictions`, where
    `data_table_ref` is the filled `data_table`. The tables are logged as `val_data` and `eval_data`, in the row that
    is logged next.

    Raises:
        UsageError: before `init()`.
    """

    data_table: Table
    data_table_ref: Table
    pred_table: Table

    def __init__(self, data_table_columns: Sequence[str], pred_table_columns: Sequence[str]) -> None:
        super().__init__()
        self._run = require_run("WandbEvalCallback")
        self.data_table_columns = list(data_table_columns)
        self.pred_table_columns = list(pred_table_columns)

    @abstractmethod
    def add_ground_truth(self, logs: _Logs = None) -> None:
        """Add rows to `self.data_table`."""

    @abstractmethod
    def add_model_predictions(self, epoch: int, logs: _Logs = None) -> None:
        """Add rows to `self.pred_table`."""

    def on_train_begin(self, logs: _Logs = None) -> None:
        """Log the ground truth."""
        self.init_data_table(self.data_table_columns)
        self.add_ground_truth(logs)
        self.log_data_table()

    def on_epoch_end(self, epoch: int, logs: _Logs = None) -> None:
        """Log the predictions."""
        self.init_pred_table(self.pred_table_columns)
        self.add_model_predictions(epoch, logs)
        self.log_pred_table()

    def init_data_table(self, column_names: Sequence[str]) -> None:
        """Begin the table of the ground truth."""
        self.data_table = Table(columns=column_names, allow_mixed_types=True)

    def init_pred_table(self, column_names: Sequence[str]) -> None:
        """Begin the table of an epoch's predictions."""
        self.pred_table = Table(columns=column_names)

    def log_data_table(
        self,
        name: str = "val",  # noqa: ARG002 - names of wandb's artifact
        type: str = "dataset",  # noqa: A002, ARG002
        table_name: str = "val_data",
    ) -> None:
        """Log the table of the ground truth under `table_name`."""
        self._run.log({table_name: self.data_table}, commit=False)
        self.data_table_ref = self.data_table

    def log_pred_table(
        self,
        type: str = "evaluation",  # noqa: A002, ARG002 - names of wandb's artifact
        table_name: str = "eval_data",
        aliases: Sequence[str] | None = None,  # noqa: ARG002
    ) -> None:
        """Log the table of predictions under `table_name`."""
        self._run.log({table_name: self.pred_table}, commit=False)
