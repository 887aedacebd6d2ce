"""The commands `retention set`, `show`, `unset` and `run`, through the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from stepwell.api.paths import parse_project_path, project_url
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.rendering import counted, format_amounts, format_size
from stepwell_deploy.settings import DeploySettings

_PERIODS: Final = ("raw", "rollups", "media")
_FOREVER: Final = "forever"

ProjectArgument = Annotated[str, typer.Argument(help="entity/project, or the address of its page.")]

retention_app = typer.Typer(
    help="Retention: how long projects keep rows, rollups and media files.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(retention_app, name="retention")


@retention_app.command(name="set")
def set_policy(
    project: ProjectArgument,
    raw: Annotated[
        str, typer.Option(help="Values of numbers, strings, booleans and others: 90d, 12w, 36h or forever.")
    ] = _FOREVER,
    rollups: Annotated[str, typer.Option(help="Buckets, from which older curves are drawn.")] = _FOREVER,
    media: Annotated[str, typer.Option(help="Media files, by the last value that refers to them.")] = _FOREVER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, and set nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Set how long a project keeps its data; replaces what was set before.

    The worker of an ingestor removes older rows about once an hour. Curves stay: they are drawn from rollups.

    Examples:
        stepwell retention set me/digits --raw 90d --rollups forever --media 30d
        stepwell retention set me/digits --raw 90d --dry-run
    """
    body = {"raw": raw, "rollups": rollups, "media": media}
    settings = DeploySettings()
    with open_service(settings) as service:
        address = _address(project, settings)
        if dry_run:
            _print_preview(service.send("POST", f"{address}/preview", body), as_json=as_json)
            return
        answer = service.send("PUT", address, body)
    typer.echo(json.dumps(answer) if as_json else f"{_name(answer)}: {_periods(answer['policy'])}")


@retention_app.command()
def show(project: ProjectArgument, as_json: JsonFlag = False) -> None:
    """Show the policy of a project, and what the last passes have removed.

    Examples:
        stepwell retention show me/digits
        stepwell retention show me/digits --json
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        answer = service.get(_address(project, settings))
    if as_json:
        typer.echo(json.dumps(answer))
        return
    if answer["policy"] is None:
        typer.echo(f"{_name(answer)}: no policy; everything is kept")
    else:
        set_by = f" by {answer['set_by']}" if answer["set_by"] else ""
        typer.echo(f"{_name(answer)}: {_periods(answer['policy'])}; set {answer['set_at']}{set_by}")
    for made in answer["passes"]:
        typer.echo(f"  {made['started_at']}  {_outcome(made)}")


@retention_app.command()
def unset(project: ProjectArgument, as_json: JsonFlag = False) -> None:
    """Take the policy of a project back: nothing more is removed. What is removed does not come back.

    Examples:
        stepwell retention unset me/digits
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        answer = service.delete(_address(project, settings))
    typer.echo(json.dumps(answer) if as_json else f"{_name(answer)}: everything is kept from now on")


@retention_app.command()
def run(
    project: ProjectArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, and remove nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Have the worker remove now what a project does not keep; with --dry-run, print what would go.

    The worker begins within about a minute. Rows are deleted some minutes after it has recorded that they go; `show`
    has the outcome. Exit code 1 if the project has no policy.

    Examples:
        stepwell retention run me/digits --dry-run
        stepwell retention run me/digits
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        address = _address(project, settings)
        if dry_run:
            policy = service.get(address)["policy"] or dict.fromkeys(_PERIODS, _FOREVER)
            _print_preview(service.send("POST", f"{address}/preview", policy), as_json=as_json)
            return
        answer = service.send("POST", f"{address}/run")
    text = f"{_name(answer)}: requested; `stepwell retention show` has the outcome"
    typer.echo(json.dumps(answer) if as_json else text)


def _address(project: str, settings: DeploySettings) -> str:
    address = project_url(*parse_project_path(project, settings.base_url)).removesuffix("/runs")
    return f"{address}/retention"


def _name(answer: Mapping[str, Any]) -> str:
    return f"{answer['entity']}/{answer['project']}"


def _periods(policy: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {policy[name]}" for name in _PERIODS)


def _outcome(made: Mapping[str, Any]) -> str:
    if made["state"] != "done":
        return f"{made['state']}: {made['error']}" if made["error"] else made["state"]
    late = f" ({made['late_rows']:,} of them late)" if made["late_rows"] else ""
    files = f", {counted(made['files'], 'media file')} ({format_size(made['file_bytes'])})" if made["files"] else ""
    return f"removed {counted(made['rows'], 'row')}{late}, {format_size(made['bytes'])}{files}"


def _print_preview(answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{_name(answer)} with {_periods(answer['policy'])}:")
    total = f"{counted(answer['rows'], 'row')}, {format_size(answer['bytes'])}"
    typer.echo(f"{total}, of {counted(answer['runs'], 'run')}")
    for line in format_amounts(answer["tables"]):
        typer.echo(line)
    typer.echo(f"  {'media files':<20}{answer['files']:>16,} files{format_size(answer['file_bytes']):>13}")
