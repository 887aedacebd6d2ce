"""The steps of the demo: start the stack, train, wait until everything is stored, print the report."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import stepwell
from stepwell.api.paths import run_url
from stepwell.credentials import find_key
from stepwell_deploy.demo.images import confusion_chart, misread_table, weight_images
from stepwell_deploy.demo.report import print_report
from stepwell_deploy.demo.results import LongRun
from stepwell_deploy.demo.training import Digits, load_digits, train_by_batch, train_by_sample
from stepwell_deploy.errors import PortInUseError, ServiceRefusedError, StackError
from stepwell_deploy.local.background import running_stack
from stepwell_deploy.local.kafka import is_fetched
from stepwell_deploy.ports import claim_port
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import AccessSettings

_ENTITY: Final = "demo"
_PROJECT: Final = "digits"
_LEARNING_RATES: Final = (0.03, 0.3, 3.0)
_LONG_LEARNING_RATE: Final = 0.02
_EPOCHS: Final = 20
_BATCH_SIZE: Final = 64
_PICTURE_EPOCHS: Final = 4
_REFRESH_STEPS: Final = 10_000
_STORE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05
_PIPED_WIDTH: Final = 120


def run_demo(folder: Path, steps: int, serve_on: bool) -> None:
    """Run the demo in `folder`; with `serve_on`, keep the service up until Ctrl-C.

    Raises:
        StepwellDeployError: when the stack does not come up.
    """
    # A file or a pipe has no width, and tables of 80 columns are hard to read.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)
    with _stack(folder, console) as url:
        os.environ["STEPWELL_BASE_URL"] = url
        digits = load_digits()
        with ServiceClient(url, _key(url)) as service:
            short = [_train_short(digits, rate) for rate in _LEARNING_RATES]
            long = _train_long(digits, steps, service, console)
            for path in short:
                _wait_until_stored(service, path, None)
            print_report(console, service, short, long)
        page = f"{url}/{_ENTITY}/{_PROJECT}"
        console.print(f"\nLook at the runs: [bold]{page}[/bold]   (API: {url}/docs)", highlight=False)
        if serve_on:
            console.print("Ctrl-C stops it.")
            _wait_for_ctrl_c()


def _key(url: str) -> str:
    """Return the key of the demo's own requests, and let its runs use it: the administrator's if no other is known."""
    settings = DeploySettings()
    key = settings.api_key.get_secret_value() or find_key(url, settings.credentials_file)
    if not key:
        key = AccessSettings().admin_key.get_secret_value()
        if key:
            os.environ["STEPWELL_API_KEY"] = key
    return key


@contextmanager
def _stack(folder: Path, console: Console) -> Iterator[str]:
    began = time.monotonic()
    with ExitStack() as stack:
        once = "" if is_fetched() else " (the first time fetches Kafka)"
        with console.status(f"starting Kafka, ClickHouse and the service{once}"):
            url = stack.enter_context(running_stack(folder, _port()))
        console.print(f"the stack is up after {time.monotonic() - began:.1f} s")
        yield url


def _port() -> int:
    settings = DeploySettings()
    try:
        return claim_port(settings.host, settings.port, "")
    except PortInUseError:
        return claim_port(settings.host, 0, "")


def _init(name: str, config: dict[str, Any]) -> Any:
    return stepwell.init(entity=_ENTITY, project=_PROJECT, name=name, config=config)


def _train_short(digits: Digits, rate: float) -> RunPath:
    config = {"learning_rate": rate, "batch_size": _BATCH_SIZE, "epochs": _EPOCHS, "model": "softmax regression"}
    run = _init(f"batches, rate {rate:g}", config)
    best = 0.0
    for result in train_by_batch(digits, rate, _EPOCHS, _BATCH_SIZE, seed=0):
        values: dict[str, Any] = {"train/loss": result.loss, "train/accuracy": result.accuracy, "epoch": result.epoch}
        if result.validation_loss is not None and result.validation_accuracy is not None:
            best = max(best, result.validation_accuracy)
            values |= {"validation/loss": result.validation_loss, "validation/accuracy": result.validation_accuracy}
        if result.weights is not None and result.epoch % _PICTURE_EPOCHS == _PICTURE_EPOCHS - 1:
            values["weights/by digit"] = weight_images(result.weights)
            values["weights/all"] = stepwell.Histogram(result.weights, num_bins=40)
            last = {
                "validation/misread": misread_table(digits, result.weights),
                "validation/confusion": confusion_chart(digits, result.weights),
            }
            values |= last if result.epoch == _EPOCHS - 1 else {}
        run.log(values)
    run.summary["best_validation_accuracy"] = best
    run.finish()
    return RunPath(_ENTITY, _PROJECT, run.id)


def _train_long(digits: Digits, steps: int, service: ServiceClient, console: Console) -> LongRun:
    run = _init("one step a sample", {"learning_rate": _LONG_LEARNING_RATE, "steps": steps})
    path = RunPath(_ENTITY, _PROJECT, run.id)
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    log_nanoseconds = 0
    began = time.monotonic()
    with Progress(*columns, TextColumn("{task.fields[lag]}"), console=console) as bar:
        logged = bar.add_task("logged", total=steps, lag="")
        stored = bar.add_task("stored", total=steps, lag="")

        def refresh(done: int) -> None:
            rows = _stored_rows(service, path)
            bar.update(logged, completed=done)
            bar.update(stored, completed=rows, lag=f"lag {done - rows:,} steps")

        for step, result in enumerate(train_by_sample(digits, _LONG_LEARNING_RATE, steps, seed=1), start=1):
            values = {"loss": result.loss, "accuracy": result.accuracy}
            before = time.perf_counter_ns()
            run.log(values)
            log_nanoseconds += time.perf_counter_ns() - before
            if step % _REFRESH_STEPS == 0:
                refresh(step)
        trained = time.monotonic()
        run.finish()
        _wait_until_stored(service, path, steps)
        delivered = time.monotonic()
        refresh(steps)
    return LongRun(path, steps, trained - began, log_nanoseconds / 1e9, delivered - trained)


def _stored_rows(service: ServiceClient, path: RunPath) -> int:
    try:
        return int(service.get(run_url(path))["log_rows"])
    except ServiceRefusedError:
        return 0


def _wait_until_stored(service: ServiceClient, path: RunPath, rows: int | None) -> None:
    deadline = time.monotonic() + _STORE_SECONDS
    while time.monotonic() < deadline:
        if _stored_rows(service, path) >= (rows or 1) and service.get(run_url(path))["state"] != "running":
            return
        time.sleep(_POLL_SECONDS)
    raise StackError(f"{path} was not stored within {_STORE_SECONDS:.0f} s; `stepwell status` shows the lag")


def _wait_for_ctrl_c() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
