"""The callback of Stable-Baselines3, with wandb's name."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any, Final

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from stepwell.errors import UsageError
from stepwell.integration.current import require_run
from stepwell.session.run import Run

__all__ = ["WandbCallback"]

_STEP: Final = "global_step"
_SCALARS: Final = (bool, int, float, str)


class WandbCallback(BaseCallback):
    """Log all numbers that the algorithm's logger records, over `global_step`, and its hyperparameters as config.

    Args:
        verbose: verbosity of Stable-Baselines3.
        model_save_path: folder in which the model is saved, as `model.zip`, after training and every
            `model_save_freq` calls; it is not sent.
        gradient_save_freq, log: for gradients; see `watch`.

    Raises:
        UsageError: before `init()`, and for a `model_save_freq` without `model_save_path`.
    """

    def __init__(
        self,
        verbose: int = 0,
        model_save_path: str | None = None,
        model_save_freq: int = 0,
        gradient_save_freq: int = 0,
        log: str | None = "all",
    ) -> None:
        super().__init__(verbose)
        self._run = require_run("WandbCallback")
        if model_save_freq and model_save_path is None:
            raise UsageError("WandbCallback: model_save_freq needs model_save_path")
        self._folder = None if model_save_path is None else Path(model_save_path)
        self._save_every = model_save_freq
        self._watch = gradient_save_freq > 0 and log is not None

    def _init_callback(self) -> None:
        values = {key: value for key, value in vars(self.model).items() if isinstance(value, _SCALARS)}
        self._run.config.setdefaults({"algo": type(self.model).__name__, **values})
        self._run.define_metric(_STEP)
        for prefix in ("rollout", "train", "time", "eval"):
            self._run.define_metric(f"{prefix}/*", step_metric=_STEP)
        self.logger.output_formats.append(_Writer(self._run))
        if self._watch:
            self._run.watch(self.model.policy)  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        if self._save_every and self.n_calls % self._save_every == 0:
            self._save()
        return True

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.model.save(self._folder / "model.zip")


class _Writer(KVWriter):
    """An output of the algorithm's logger: one row for each of its dumps."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, Any], step: int = 0) -> None:
        """Log the numbers. Keys that are kept from TensorBoard are logged, too: they are in other outputs."""
        del key_excluded
        row = {key: value for key, value in key_values.items() if isinstance(value, Number)}
        self._run.log({**row, _STEP: step})

    def close(self) -> None:
        """Leave the run open: the script finishes it."""
