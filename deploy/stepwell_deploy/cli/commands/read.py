"""The commands `runs`, `metrics` and `history`, which read through the query service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from stepwell.api.paths import parse_project_path, parse_run_path, project_url, run_url
from stepwell_deploy.cli.options import RUN_HELP, JsonFlag, open_service
from stepwell_deploy.errors import UnknownKeyError
from stepwell_deploy.rendering import rows_within, runs_table
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings

_NO_RUNS = """No runs yet. Log one from Python:

    import stepwell
    with stepwell.init(project="tour") as run:
        for step in range(1000):
            run.log({"loss": 1 / (step + 1)})"""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(runs)
    app.command()(metrics)
    app.command()(history)


def runs(
    project: Annotated[
        str | None, typer.Argument(help="entity/project, or the address of its page; all projects if not given.")
    ] = None,
    filter_: Annotated[
        str, typer.Option("--filter", "-f", help="Filter for the runs, in the language of docs/runs.md.")
    ] = "",
    order: Annotated[
        str, typer.Option(help="A field, config.KEY or summary.KEY; a leading - reverses the order.")
    ] = "-created_at",
    columns: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="config.KEY or summary.KEY to show; repeat for several.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of runs to show for each project.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first; optionally filtered and in another order.

    Keys of filter, order and columns that no run has are named on standard error.

    Examples:
        stepwell runs
        stepwell runs me/digits --limit 5
        stepwell runs me/digits --json
        stepwell runs me/digits --filter 'config.lr > 0.1 and tags has "x"' --order summary.val/loss -c config.lr
    """
    settings = DeploySettings()
    chosen = None if project is None else parse_project_path(project, settings.base_url)
    with open_service(settings) as service:
        pages: list[dict[str, Any]] = []
        for entity, name in _all_projects(service) if chosen is None else [chosen]:
            parameters = {"filter": filter_ or None, "order": order, "columns": columns or None, "limit": limit}
            pages.append(service.get(project_url(entity, name), **parameters))
    listed = [run for page in pages for run in page["runs"]]
    unknown = _unknown_everywhere(pages)
    if unknown:
        typer.echo(f"no run has {', '.join(unknown)}", err=True)
    if as_json:
        typer.echo(json.dumps(listed))
        return
    Console().print(runs_table(listed) if listed else _no_runs(filter_), highlight=False, markup=False)
    shown = {name for run in listed for name in run.get("values", ())}
    missing = [name for name in columns or () if name not in shown and name not in unknown]
    if listed and missing:
        typer.echo(f"none of these runs has {', '.join(missing)}", err=True)


def _unknown_everywhere(pages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the requested keys that no run of any of these projects has."""
    unknown = [page["unknown_keys"] for page in pages]
    return [key for key in unknown[0] if all(key in keys for keys in unknown)] if unknown else []


def _no_runs(filter_: str) -> str:
    return f"No run passes the filter {filter_}" if filter_ else _NO_RUNS


def _all_projects(service: ServiceClient) -> list[tuple[str, str]]:
    return [(item["entity"], item["project"]) for item in service.get("projects")["projects"]]


def metrics(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    as_json: JsonFlag = False,
) -> None:
    """List the metrics of a run: each key with its kinds, steps and spellings.

    Examples:
        stepwell metrics me/digits/abc123
        stepwell metrics me/digits/abc123 --json
    """
    settings = DeploySettings()
    path = parse_run_path(run, settings.base_url)
    with open_service(settings) as service:
        listed = service.get(run_url(path, "metrics"))["metrics"]
    if as_json:
        typer.echo(json.dumps(listed))
        return
    columns = ["key", "kind", "first_step", "last_step", "count"]
    rows = [[*(metric[column] for column in columns), "  ".join(metric["spellings"][1:])] for metric in listed]
    console = Console()
    console.print(rows_within([*columns, "also spelled"], rows, console.width))


def history(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    keys: Annotated[list[str] | None, typer.Option("--key", "-k", help="A metric; repeat for several.")] = None,
    samples: Annotated[int, typer.Option(help="Number of rows, spread evenly over the run.")] = 50,
    system: Annotated[bool, typer.Option("--system", help="Show the system metrics, by their own steps.")] = False,
    interpolate: Annotated[
        str | None, typer.Option(help="linear or last: rows with any of the keys, with missing values filled in.")
    ] = None,
    writers: Annotated[
        list[str] | None,
        typer.Option("--writer", help="A writer, such as rank1; repeat for several, or `*`. Default: the primary one."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a run's history: rows by step. With keys, rows that have all of them.

    Exit code 1 if the run has not logged a key.

    Examples:
        stepwell history me/digits/abc123 -k loss -k accuracy --samples 10
        stepwell history me/digits/abc123 --system
        stepwell history me/digits/abc123 -k loss -k val/loss --interpolate last
        stepwell history me/digits/abc123 -k loss --writer '*'
    """
    settings = DeploySettings()
    path = parse_run_path(run, settings.base_url)
    with open_service(settings) as service:
        stream = "system" if system else "default"
        parameters = {"key": keys, "samples": samples, "stream": stream, "interpolate": interpolate, "writer": writers}
        answer = service.get(run_url(path, "history"), **parameters)
    if answer["unknown_keys"]:
        raise UnknownKeyError(path, answer["unknown_keys"])
    rows = answer["rows"]
    if "raw_from" in answer:
        typer.echo(f"rows before step {answer['raw_from']:,} are removed: the project keeps them no longer", err=True)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in {"_timestamp", "_runtime"}))
    console = Console()
    console.print(rows_within(columns, [[row.get(column) for column in columns] for row in rows], console.width))
