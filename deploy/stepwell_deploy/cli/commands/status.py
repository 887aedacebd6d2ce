"""The commands `status` and `demo`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stepwell_deploy.cli.alarms import ringing
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.limits import MIB

_METRIC: Final = re.compile(r"^(?P<name>stepwell_[a-z_]+)(?P<labels>\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(status)
    app.command()(demo)


def read_metrics(text: str) -> dict[str, float]:
    """Return the `stepwell_*` samples of a Prometheus text, by name and labels."""
    return {match["name"] + (match["labels"] or ""): float(match["value"]) for match in _METRIC.finditer(text)}


def status(as_json: JsonFlag = False) -> None:
    """Show the parts with their states and restarts, the free space, the metrics, and the active alarms.

    Exit code 1 if a part is not up, or an alarm is active.

    Examples:
        stepwell status
        stepwell status --json
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        readiness = service.readiness()
        samples = _samples(service)
    report = build_report(settings.base_url, readiness, samples)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _print_report(report)
    if not report["ready"] or report["alarms"]:
        raise typer.Exit(1)


def _samples(service: ServiceClient) -> dict[str, float]:
    """Return the metrics of the service; none if the key may not read them."""
    try:
        return read_metrics(service.metrics_text())
    except ServiceRefusedError as error:
        typer.echo(f"stepwell: no metrics: {error}", err=True)
        return {}


def build_report(url: str, readiness: httpx.Response, samples: Mapping[str, float]) -> dict[str, Any]:
    """Build the report that `status --json` prints."""
    try:
        parts = readiness.json().get("parts", {})
    except (ValueError, AttributeError):
        # The answer came from a proxy instead of the service.
        parts = {}
    return {
        "service": url,
        "ready": readiness.is_success,
        "parts": parts,
        "disk_free_bytes": samples.get("stepwell_up_disk_free_bytes"),
        "alarms": [alarm._asdict() for alarm in ringing(samples)],
        "metrics": samples,
    }


def _print_report(report: Mapping[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("service", report["service"])
    table.add_row("ready", "yes" if report["ready"] else "no")
    for name, part in report["parts"].items():
        reason = f" ({part['reason']})" if part["reason"] else ""
        restarts = f", {part['restarts']:,} restarts" if part["restarts"] else ""
        table.add_row(name, f"{part['state']}{reason}{restarts}")
    if report["disk_free_bytes"] is not None:
        table.add_row("free space", f"{report['disk_free_bytes'] / MIB:,.0f} MiB")
    for name, value in report["metrics"].items():
        if "_bucket" not in name and "_created" not in name:
            table.add_row(name, f"{value:,.6g}")
    Console().print(table)
    for alarm in report["alarms"]:
        Console().print(f"[bold red]ALARM[/bold red] {escape(alarm['text'])}", highlight=False, soft_wrap=True)


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="The data folder of the demo.")] = Path(".stepwell/demo"),
    leave: Annotated[bool, typer.Option("--exit", help="Stop when done, even in a terminal.")] = False,
    steps: Annotated[int, typer.Option(help="Number of steps of the long run.")] = 1_000_000,
) -> None:
    """Train on handwritten digits and log through the whole pipeline: three short runs and one of a million steps.

    Examples:
        stepwell demo
        stepwell demo --exit
    """
    from stepwell_deploy.demo.run import run_demo

    run_demo(folder, steps, serve_on=sys.stdout.isatty() and not leave)
