"""The command `console`, which shows a run's console output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from stepwell.api.paths import parse_run_path, run_url
from stepwell.console.parsing import ConsoleLine, parse_console_lines, tail_start
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import CONSOLE

_POLL_SECONDS: Final = 1.0
_MOVING: Final = 8
_QUIET_POLLS: Final = 2


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(console)


def console(
    run: Annotated[str, typer.Argument(help="entity/project/run_id, or the address of the run's page.")],
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Number of last lines; all if not given.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run ends.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the console output of a run; its standard error goes to standard error.

    Examples:
        stepwell console me/digits/abc123 -n 50
        stepwell console me/digits/abc123 --follow
    """
    path = parse_run_path(run)
    with open_service(DeploySettings()) as service:
        first = 0
        if lines is not None:
            first = tail_start(service.get(run_url(path, "metrics"))["metrics"], lines)
        for line in followed(service, path, first) if follow else _lines(service, path, first):
            if as_json:
                typer.echo(json.dumps(line._asdict()))
            else:
                typer.echo(line.text, err=line.stream.endswith("stderr"))


def _lines(service: ServiceClient, path: RunPath, first: int) -> Iterator[ConsoleLine]:
    yield from parse_console_lines(service.lines(run_url(path, "scan"), stream="console", min_step=first))


def followed(service: ServiceClient, path: RunPath, first: int) -> Iterator[ConsoleLine]:
    """Yield lines as they arrive, from number `first` on, until the run has ended.

    Each writer numbers its own lines, so each writer's stream has its own position. The last line of a stream is
    yielded again if it has changed, as the line of a progress bar does.
    """
    starts = {stream: min(first, last + 1) for stream, (last, _) in _extents(service, path).items()}
    newest: dict[str, ConsoleLine] = {}
    for line in _lines(service, path, first):
        newest[line.stream] = line
        yield line
    known: dict[str, tuple[int, int]] = {}
    quiet = 0
    while quiet < _QUIET_POLLS:
        state = service.get(run_url(path))["state"]
        # A line that changes does not extend its stream, so the streams that grew last are read in any case.
        moving = sorted(newest, key=lambda stream: -newest[stream].time)[:_MOVING]
        extents = _extents(service, path)
        fresh: list[ConsoleLine] = []
        for stream, extent in extents.items():
            if known.get(stream) != extent or stream in moving:
                fresh += _fresh(service, path, stream, newest.get(stream), starts.get(stream, 0))
        known = extents
        newest |= {line.stream: line for line in fresh}
        yield from sorted(fresh, key=lambda line: (line.time, line.number))
        # The end of the run may be stored before its last lines.
        quiet = 0 if state == "running" or fresh else quiet + 1
        time.sleep(_POLL_SECONDS)


def _extents(service: ServiceClient, path: RunPath) -> dict[str, tuple[int, int]]:
    """Return the last line number of each stream, and the number of lines."""
    metrics = service.get(run_url(path, "metrics"))["metrics"]
    own = [metric for metric in metrics if metric["stream"] == CONSOLE]
    return {str(one["key"]).removeprefix(f"{CONSOLE}/"): (one["last_step"], one["count"]) for one in own}


def _fresh(
    service: ServiceClient, path: RunPath, stream: str, newest: ConsoleLine | None, start: int
) -> Iterator[ConsoleLine]:
    """Yield the lines of a stream after its newest one, and that one if it has changed."""
    first = start if newest is None else newest.number
    for line in parse_console_lines(service.lines(run_url(path, "scan"), key=f"{CONSOLE}/{stream}", min_step=first)):
        if newest is None or line.number > newest.number or line.text != newest.text:
            yield line
