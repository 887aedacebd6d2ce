"""The commands `edit`, `stop` and `delete`, which change stored runs through the service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from stepwell.api.paths import parse_run_path, parse_runs_path, project_url, run_url
from stepwell_deploy.cli.options import RUN_HELP, JsonFlag, open_service
from stepwell_deploy.errors import BadChangeError
from stepwell_deploy.rendering import counted, format_amounts, format_size
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.rules.identifiers import RunPath

_WAIT_SECONDS = 30

RunsArgument = Annotated[list[str], typer.Argument(help=f"{RUN_HELP} Several are changed alike.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(edit)
    app.command()(stop)
    app.command()(delete)


def edit(
    runs: RunsArgument,
    name: Annotated[str | None, typer.Option(help="The display name.")] = None,
    notes: Annotated[str | None, typer.Option(help="The notes.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag to add; repeat for several.")] = None,
    untags: Annotated[list[str] | None, typer.Option("--untag", help="A tag to remove; repeat for several.")] = None,
    group: Annotated[str | None, typer.Option(help="The group.")] = None,
    job_type: Annotated[str | None, typer.Option(help="The job type.")] = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", help="KEY=VALUE of the config; VALUE is JSON, otherwise a text. Repeat for several."),
    ] = None,
    summary: Annotated[list[str] | None, typer.Option("--summary", help="KEY=VALUE of the summary, likewise.")] = None,
    remove_config: Annotated[
        list[str] | None, typer.Option("--remove-config", help="A key of the config to remove; repeat for several.")
    ] = None,
    remove_summary: Annotated[
        list[str] | None,
        typer.Option("--remove-summary", help="A key of the summary, set by hand, to remove; repeat for several."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change runs: name, notes, tags, group, job type, values of config and summary.

    Ends when the changes are stored. A running script is not disturbed: the last change of a field holds.

    Examples:
        stepwell edit me/digits/abc123 --name baseline --tag paper --untag draft
        stepwell edit me/digits/abc123 --config lr=0.1 --config 'opt={"name": "adam"}' --summary best=0.98
        stepwell edit me/digits/abc123 me/digits/def456 --group sweep-1
    """
    change: dict[str, Any] = {
        "name": name,
        "notes": notes,
        "group": group,
        "job_type": job_type,
        "tags_add": tags or [],
        "tags_remove": untags or [],
        "config": _parse_values("--config", config),
        "summary": _parse_values("--summary", summary),
        "config_remove": remove_config or [],
        "summary_remove": remove_summary or [],
    }
    change = {field: value for field, value in change.items() if value not in (None, [], {})}
    if not change:
        raise typer.BadParameter("name at least one change, such as --name or --tag")
    settings = DeploySettings()
    paths = _parse_runs(runs, settings)
    with open_service(settings) as service:
        answers = [service.send("PATCH", run_url(path), change, wait=_WAIT_SECONDS) for path in paths]
    _report(paths, answers, "changed", as_json=as_json)


def stop(runs: RunsArgument, as_json: JsonFlag = False) -> None:
    """Ask running runs to stop: `run.stop_requested` becomes true in their processes.

    A script looks at it, or sets STEPWELL_STOP=raise, which makes the next `log()` raise an exception.

    Examples:
        stepwell stop me/digits/abc123
    """
    settings = DeploySettings()
    paths = _parse_runs(runs, settings)
    with open_service(settings) as service:
        answers = [service.send("POST", run_url(path, "stop"), wait=_WAIT_SECONDS) for path in paths]
    _report(paths, answers, "asked to stop", as_json=as_json)


def delete(
    target: Annotated[
        str, typer.Argument(help="entity/project/run_id, entity/project, or the address of such a page.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without a question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, and delete nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete a run, or all runs of a project, for good; prints what goes, and asks before.

    A run may take the name afterwards, and gets only its own data. Media files that no other run refers to are removed
    after a grace time. Exit code 1 if the answer to the question is no. With --json, --yes or --dry-run is needed.

    Examples:
        stepwell delete me/digits/abc123
        stepwell delete me/digits --dry-run
        stepwell delete me/digits --yes --json
    """
    settings = DeploySettings()
    found = parse_runs_path(target, settings.base_url)
    address = run_url(found) if isinstance(found, RunPath) else project_url(*found).removesuffix("/runs")
    if as_json and not (yes or dry_run):
        raise typer.BadParameter("--json asks no question; add --yes or --dry-run")
    with open_service(settings) as service:
        answer = _delete(service, address, dry_run=True) if dry_run or not yes else None
        if answer is not None and not as_json:
            _print_amounts(found, answer)
        if not dry_run:
            if not yes:
                typer.confirm("Delete this for good?", abort=True)
            answer = _delete(service, address, dry_run=False)
    assert answer is not None  # noqa: S101 - one of the two was asked
    if as_json:
        typer.echo(json.dumps(answer))
    elif not dry_run:
        if yes:
            _print_amounts(found, answer)
        typer.echo("deleted" if answer["stored"] else "the deletion is in the log, and takes effect when it is stored")


def _delete(service: ServiceClient, address: str, *, dry_run: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = {"dry_run": "true"} if dry_run else {"wait": _WAIT_SECONDS}
    answer: dict[str, Any] = service.send("DELETE", address, **parameters)
    return answer


def _print_amounts(target: RunPath | tuple[str, str], answer: dict[str, Any]) -> None:
    runs = counted(answer["runs"], "run")
    typer.echo(f"{'/'.join(target)}: {runs}, {answer['rows']:,} rows, {format_size(answer['bytes'])}")
    for line in format_amounts(answer["tables"]):
        typer.echo(line)


def _parse_runs(runs: Sequence[str], settings: DeploySettings) -> list[RunPath]:
    return list(dict.fromkeys(parse_run_path(run, settings.base_url) for run in runs))


def _parse_values(option: str, given: Sequence[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadChangeError(f"{option} {text!r}: must have the form KEY=VALUE")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values


def _report(paths: Sequence[RunPath], answers: Sequence[dict[str, Any]], what: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([{"run": str(path), **answer} for path, answer in zip(paths, answers, strict=True)]))
        return
    for path, answer in zip(paths, answers, strict=True):
        typer.echo(f"{path}: {what}" + ("" if answer["stored"] else " (in the log, not stored yet)"))
