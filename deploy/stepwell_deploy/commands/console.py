"""The command that shows what a run printed: console."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from stepwell.console.reading import ConsoleLine, first_of_last, lines_of
from stepwell_deploy.commands.read import JsonFlag, open_service
from stepwell_deploy.service_client import ServiceClient, run_url
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.identifiers import RunPath

_POLL_SECONDS: Final = 1.0
_QUIET_POLLS: Final = 2


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(console)


def console(
    run: Annotated[str, typer.Argument(help="entity/project/run_id")],
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="The last lines; all when left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what a run printed; lines of standard error go to standard error.

    Examples: `stepwell console me/digits/abc123 -n 50` · `stepwell console me/digits/abc123 --follow`
    """
    path = RunPath.parse(run)
    with open_service(DeploySettings()) as service:
        first = 0
        if lines is not None:
            first = first_of_last(service.get(run_url(path, "metrics"))["metrics"], lines)
        for line in _followed(service, path, first) if follow else _lines(service, path, first):
            if as_json:
                typer.echo(json.dumps(line._asdict()))
            else:
                typer.echo(line.text, err=line.stream.endswith("stderr"))


def _lines(service: ServiceClient, path: RunPath, first: int) -> Iterator[ConsoleLine]:
    yield from lines_of(service.lines(run_url(path, "scan"), stream="console", min_step=first))


def _followed(service: ServiceClient, path: RunPath, first: int) -> Iterator[ConsoleLine]:
    """Yield lines as they come; the last one again where it has changed meanwhile, as a progress bar does."""
    newest: dict[str, ConsoleLine] = {}
    quiet = 0
    while True:
        state = service.get(run_url(path))["state"]
        found = 0
        for line in _lines(service, path, first):
            known = newest.get(line.stream)
            if known is None or known.number < line.number or known.text != line.text:
                yield line
                found += 1
            newest[line.stream] = line
            first = max(first, line.number)
        # The run's end may be stored before its last lines are.
        quiet = 0 if state == "running" or found else quiet + 1
        if quiet == _QUIET_POLLS:
            return
        time.sleep(_POLL_SECONDS)
