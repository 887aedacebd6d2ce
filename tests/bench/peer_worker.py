"""A process that logs to one library and reads a series back: `python peer_worker.py LIBRARY FOLDER`.

It runs in the environment of its library, so it imports nothing of Stepwell but for the library of that name. Each line
of its input is a command, and gets a line of JSON:

log METRICS CALLS    log dicts of new values: the median microseconds of a call
fill POINTS          log a series in another run, as fast as the library takes it: the seconds
read POINTS          read that series completely: the seconds
view POINTS          read it as the library's page draws it, with about 1,000 points: the seconds
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

_BATCH = 1_000


def load(module: str) -> Any:
    """Import a module that other environments do not have."""
    return importlib.import_module(module)


class Library(Protocol):
    """A library's ways to log and to read."""

    def log(self, data: dict[str, float]) -> None:
        """Log one step, as a training loop does."""

    def fill(self, values: list[float]) -> None:
        """Log a series of one metric, `loss`, and wait until it is stored."""

    def read(self) -> int:
        """Read the series; return the number of its points."""

    def close(self) -> None:
        """Finish the runs."""


class Stepwell:
    """Stepwell: `log()` without a service, and series through the service at STEPWELL_BASE_URL."""

    def __init__(self, folder: str) -> None:
        self._library = load("stepwell")
        self._run = self._library.init(project="peers", mode="offline", dir=folder)
        self._folder = folder
        self.log = self._run.log

    def fill(self, values: list[float]) -> None:
        run = self._library.init(entity="bench", project="peers", id="series", dir=self._folder)
        for value in values:
            run.log({"loss": value})
        receipt = run.finish(quiet=True)
        assert receipt is not None
        assert not receipt.pending

    def read(self) -> int:
        return int(self._series().scan(keys=["loss"]).table().num_rows)

    def view(self) -> int:
        (series,) = self._series().series("loss", points=_BATCH, pandas=False)
        return len(series)

    def _series(self) -> Any:
        return self._library.Api().run("bench/peers/series")

    def close(self) -> None:
        self._run.finish(quiet=True)


class Wandb:
    """wandb in offline mode, which has no reader."""

    def __init__(self, folder: str) -> None:
        os.environ["WANDB_SILENT"] = "true"
        self._run = load("wandb").init(project="peers", mode="offline", dir=folder)
        self.log = self._run.log

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """MLflow with its default store, SQLite, in this process."""

    def __init__(self, folder: str) -> None:
        self._library = load("mlflow")
        self._library.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        self._library.set_experiment("peers")
        self._library.start_run()
        self._client = self._library.MlflowClient()
        self._step = 0
        self._series = ""

    def log(self, data: dict[str, float]) -> None:
        self._library.log_metrics(data, step=self._step)
        self._step += 1

    def fill(self, values: list[float]) -> None:
        experiment = self._client.get_experiment_by_name("peers").experiment_id
        self._series = self._client.create_run(experiment).info.run_id
        entity = load("mlflow.entities").Metric
        for first in range(0, len(values), _BATCH):
            rows = [entity("loss", value, 0, first + step) for step, value in enumerate(values[first : first + _BATCH])]
            self._client.log_batch(self._series, rows)

    def read(self) -> int:
        return len(self._client.get_metric_history(self._series, "loss"))

    def close(self) -> None:
        self._library.end_run()


class Trackio:
    """Trackio in a local folder."""

    def __init__(self, folder: str) -> None:
        os.environ["TRACKIO_DIR"] = folder
        self._library = load("trackio")
        self._run = self._open("run")
        self.log = self._run.log

    def _open(self, name: str) -> Any:
        return self._library.init(project="peers", name=name, auto_log_gpu=False, auto_log_cpu=False, embed=False)

    def fill(self, values: list[float]) -> None:
        run = self._open("series")
        for value in values:
            run.log({"loss": value})
        run.finish()

    def read(self) -> int:
        storage = load("trackio.sqlite_storage").SQLiteStorage
        return len(storage.get_metric_values("peers", "series", "loss"))

    def close(self) -> None:
        self._run.finish()


class Tensorboard:
    """TensorBoard's event files, written and read by its own package."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._summary = load("tensorboard.compat.proto.summary_pb2").Summary
        self._event = load("tensorboard.compat.proto.event_pb2").Event
        self._writer = self._open("run")
        self._step = 0

    def _open(self, name: str) -> Any:
        return load("tensorboard.summary.writer.event_file_writer").EventFileWriter(f"{self._folder}/{name}")

    def _add(self, writer: Any, key: str, value: float, step: int) -> None:
        summary = self._summary(value=[self._summary.Value(tag=key, simple_value=value)])
        writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def log(self, data: dict[str, float]) -> None:
        for key, value in data.items():
            self._add(self._writer, key, value, self._step)
        self._step += 1

    def fill(self, values: list[float]) -> None:
        writer = self._open("series")
        for step, value in enumerate(values):
            self._add(writer, "loss", value, step)
        writer.close()

    def read(self) -> int:
        module = load("tensorboard.backend.event_processing.event_accumulator")
        reader = module.EventAccumulator(f"{self._folder}/series", size_guidance={module.SCALARS: 0})
        reader.Reload()
        return len(reader.Scalars("loss"))

    def close(self) -> None:
        self._writer.close()


LIBRARIES: dict[str, Callable[[str], Any]] = {
    "stepwell": Stepwell,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
    "tensorboard": Tensorboard,
}


def log(library: Library, metrics: int, calls: int) -> float:
    """Return the median microseconds of a call with a new dict."""
    taken = []
    for _ in range(calls):
        data = {f"metric_{number}": random.random() for number in range(metrics)}
        began = time.perf_counter_ns()
        library.log(data)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1_000


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a work, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main(name: str, folder: str) -> None:
    """Carry out commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Libraries print to standard output, too.
    os.dup2(2, 1)
    Path(folder).mkdir(parents=True, exist_ok=True)
    library = LIBRARIES[name](folder)
    for line in sys.stdin:
        command, *given = line.split()
        numbers = [int(number) for number in given]
        if command == "log":
            answer = log(library, *numbers)
        elif command == "fill":
            values = [random.random() for _ in range(numbers[0])]
            answer, _ = timed(partial(library.fill, values))
        else:
            answer, points = timed(getattr(library, command))
            assert command == "view" or points == numbers[0], (name, points)
        answers.write(json.dumps(answer) + "\n")
    with contextlib.suppress(Exception):
        library.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
