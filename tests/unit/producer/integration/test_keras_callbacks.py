"""Keras' callbacks without Keras: what they log, and the learning rates that they read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import stepwell
from support.readers.offline_runs import OfflineRun, read_offline_runs


class _Base:
    """A callback of Keras."""

    model: Any

    def __init__(self, filepath: Any = None, *_: Any, **__: Any) -> None:
        self.filepath = filepath


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of callbacks, imported with a stand-in for Keras: its own import takes 5 s."""
    keras = ModuleType("keras")
    keras.callbacks = SimpleNamespace(Callback=_Base, ModelCheckpoint=_Base)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", keras)
    name = "stepwell.integration.keras"
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module(name)
    sys.modules.pop(name, None)


def trained(callbacks: Any, folder: Path, rate: Any, **arguments: Any) -> OfflineRun:
    """Return the run of two epochs of two batches."""
    with stepwell.init(id="run", mode="offline", dir=folder, settings={"quiet": True}):
        logger = callbacks.WandbMetricsLogger(**arguments)
        logger.model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=rate))
        for epoch in range(2):
            for batch in range(2):
                logger.on_train_batch_end(batch, {"loss": 1.0})
            logger.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 2.0})
    (run,) = read_offline_runs(folder)
    return run


def test_epochs_are_logged(callbacks: Any, tmp_path: Path) -> None:
    run = trained(callbacks, tmp_path, np.float32(0.5))
    row = {"epoch/loss": 1.0, "epoch/val_loss": 2.0, "epoch/learning_rate": 0.5}
    assert run.rows == {epoch: {**row, "epoch/epoch": epoch} for epoch in range(2)}
    assert run.metrics["epoch/*"]["step_metric"] == "epoch/epoch"


def test_batches_are_logged_too(callbacks: Any, tmp_path: Path) -> None:
    run = trained(callbacks, tmp_path, lambda step: 1 / step, log_freq="batch", initial_global_step=1)
    assert run.column("batch/batch_step") == [0, 1, 2, 3]
    assert run.column("batch/learning_rate") == [1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert run.column("epoch/learning_rate") == [1 / 3, 1 / 5]


def test_an_unknown_learning_rate_is_left_out(callbacks: Any, tmp_path: Path) -> None:
    run = trained(callbacks, tmp_path, "fast", log_freq=2)
    assert (run.column("epoch/learning_rate"), run.column("batch/loss")) == ([], [1.0, 1.0])


def test_they_need_a_run(callbacks: Any) -> None:
    for name in ("WandbMetricsLogger", "WandbModelCheckpoint"):
        with pytest.raises(stepwell.UsageError, match=rf"init\(\) before {name}\(\)"):
            getattr(callbacks, name)("epoch")
