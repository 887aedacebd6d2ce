"""Stepwell next to wandb, MLflow, Trackio and TensorBoard: `log()` calls, and a series read back.

The others are installed in `.cache/peers`, from `peers-requirements.txt`. Each library has a process of its own, in
which all work of the library takes place; the processes take turns, and rest meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

from bench.figure import Figure, make_table
from stepwell_deploy.local.background import running_stack
from support.paths import ROOT

_ENVIRONMENT: Final = ROOT / ".cache" / "peers"
_REQUIREMENTS: Final = Path(__file__).parent / "peers-requirements.txt"
_WORKER: Final = Path(__file__).parent / "peer_worker.py"
_STEPWELL: Final = "stepwell"
_LOG: Final = {
    "wandb": "wandb, offline",
    "mlflow": "MLflow, SQLite",
    "trackio": "Trackio, local",
    "tensorboard": "TensorBoard's event file",
}
_READ: Final = {
    "mlflow": "MLflow's get_metric_history",
    "trackio": "Trackio's get_metric_values",
    "tensorboard": "TensorBoard's reader",
}
# Calls of a turn: few of those that are slow, or that fill a queue which another process empties.
_CALLS: Final = {_STEPWELL: 1_000, "wandb": 40, "mlflow": 10, "trackio": 100, "tensorboard": 100}
_METRICS: Final = (1, 50)
_TURNS: Final = 10
_READ_TURNS: Final = 5
_POINTS: Final = 50_000


class Worker:
    """A library's process."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        python = sys.executable if name == _STEPWELL else str(_ENVIRONMENT / "bin" / "python")
        self._name = name
        self._log = (folder / f"{name}.log").open("w")
        self._process = subprocess.Popen(
            [python, str(_WORKER), name, str(folder / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **environment},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process, self._log:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def answer(self, command: str, *numbers: int) -> float:
        """Return the answer to a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([command, *map(str, numbers)]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._name} ended:\n{Path(self._log.name).read_text()}")
        return float(json.loads(line))


def install() -> None:
    """Make the environment, unless it has what is required. Ends the process with a line if that fails."""
    stamp = _ENVIRONMENT / "installed.txt"
    required = _REQUIREMENTS.read_text("utf-8")
    if stamp.exists() and stamp.read_text("utf-8") == required:
        return
    uv = Path(sys.executable).parent / "uv"
    python = _ENVIRONMENT / "bin" / "python"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, _ENVIRONMENT],
        [uv, "pip", "install", "--quiet", "--python", python, "--requirement", _REQUIREMENTS],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.split())
            sys.exit(f"the peers can't be installed, perhaps since there is no network: {reason[:300]}")
    stamp.write_text(required, "utf-8")


def _log_figures(workers: Mapping[str, Worker]) -> Iterator[Figure]:
    for metrics in _METRICS:
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(_TURNS):
            for name, worker in workers.items():
                times[name].append(worker.answer("log", metrics, _CALLS[name]))
        own, *others = (median(taken) for taken in times.values())
        name = f"log() of {metrics} metric{'s' * (metrics > 1)}"
        for (_, anchor), other in zip(_LOG.items(), others, strict=True):
            yield Figure(f"{name}, against {anchor}", "µs", own, anchor, other, "clock")


def _read_figures(workers: Mapping[str, Worker]) -> Iterator[Figure]:
    for worker in workers.values():
        worker.answer("fill", _POINTS)
    times: dict[str, list[float]] = {name: [] for name in (*workers, "view")}
    for _ in range(_READ_TURNS):
        for name, worker in workers.items():
            times[name].append(worker.answer("read", _POINTS) * 1_000)
        times["view"].append(workers[_STEPWELL].answer("view", _POINTS) * 1_000)
    taken = {name: median(some) for name, some in times.items()}
    for work, own in (("read all of", taken[_STEPWELL]), ("1,000 rows of", taken["view"])):
        for name, anchor in _READ.items():
            yield Figure(
                f"{work} {_POINTS:,} points, against {anchor}", "ms", own, f"{anchor}, all", taken[name], "clock"
            )


def figures() -> Iterator[Figure]:
    """Measure all libraries in turns."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(running_stack(folder / "stack"))
        environment = {"STEPWELL_BASE_URL": url}
        workers = {name: stack.enter_context(Worker(name, folder, environment)) for name in (_STEPWELL, *_LOG)}
        yield from _log_figures(workers)
        yield from _read_figures({name: workers[name] for name in (_STEPWELL, *_READ)})


def main() -> None:
    """Print the figures."""
    install()
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
