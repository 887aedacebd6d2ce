"""Commands that show the pipeline itself: status, demo."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from stepwell_deploy.cli.alarms import ringing
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.settings import DeploySettings

_METRIC: Final = re.compile(r"^(?P<name>stepwell_[a-z_]+)(?P<labels>\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(status)
    app.command()(demo)


def read_metrics(text: str) -> dict[str, float]:
    """Return the `stepwell_*` samples of a Prometheus text, by name and labels."""
    return {match["name"] + (match["labels"] or ""): float(match["value"]) for match in _METRIC.finditer(text)}


def status(as_json: JsonFlag = False) -> None:
    """Show whether the service is ready, its metrics (lag, last flush, what was stored and what was not), and alarms.

    Exit code 1 when it is not ready; an alarm alone leaves it at 0.

    Examples: `stepwell status` · `stepwell status --json`
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        readiness = service.readiness()
        samples = read_metrics(service.metrics_text())
    alarms = ringing(samples)
    report: dict[str, Any] = {
        "service": settings.base_url,
        "ready": readiness.is_success,
        "alarms": [alarm._asdict() for alarm in alarms],
        "metrics": samples,
    }
    if as_json:
        typer.echo(json.dumps(report))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_row("service", settings.base_url)
        table.add_row("ready", "yes" if readiness.is_success else f"no: {readiness.text}")
        for name, value in samples.items():
            if "_bucket" not in name and "_created" not in name:
                table.add_row(name, f"{value:,.6g}")
        Console().print(table)
        for alarm in alarms:
            Console().print(f"[bold red]ALARM[/bold red] {alarm.text}", highlight=False, soft_wrap=True)
    if not readiness.is_success:
        raise typer.Exit(1)


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="The folder that keeps the demo's data.")] = Path(
        ".stepwell/demo"
    ),
    leave: Annotated[bool, typer.Option("--exit", help="Stop when done, even in a terminal.")] = False,
    steps: Annotated[int, typer.Option(help="Steps of the long run.")] = 1_000_000,
) -> None:
    """Train for real on handwritten digits through the whole pipeline: three short runs and one of a million steps.

    Examples: `stepwell demo` · `stepwell demo --exit`
    """
    from stepwell_deploy.demo.run import run_demo

    run_demo(folder, steps, serve_on=sys.stdout.isatty() and not leave)
