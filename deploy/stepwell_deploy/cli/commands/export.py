"""The command `export`, which writes all rows of one or many runs to files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stepwell.api.paths import parse_runs_path, run_url
from stepwell.api.rows import removed_to
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.export.project import Summary, export_runs, folder_target, listed_runs, locked, single_target
from stepwell_deploy.export.request import MEDIA_TYPES, ExportFormat, ExportRequest, RowShape
from stepwell_deploy.export.run import ListedRun, Target
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.rules.identifiers import RunPath

_EVERY_WRITER: Final = "*"
_STDOUT: Final = Path("-")
_FOLDER: Final = Path("stepwell-export")
_SHOWN_FAILURES: Final = 10
_ENDINGS: Final = {f".{fmt}": fmt for fmt in ExportFormat}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(export)


def export(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="entity/project/run_id, or entity/project for all of its runs, or the address of such a page."
        ),
    ],
    filter_: Annotated[str, typer.Option("--filter", "-f", help="Filter for the runs of projects: docs/runs.md.")] = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder; for one run also a file, or - for standard output.")
    ] = _FOLDER,
    fmt: Annotated[
        ExportFormat | None, typer.Option("--format", help="Default: from the file's suffix; otherwise parquet.")
    ] = None,
    shape: Annotated[RowShape, typer.Option(help="A row for each step, or for each value.")] = RowShape.WIDE,
    keys: Annotated[list[str] | None, typer.Option("--key", "-k", help="A metric; repeat for several.")] = None,
    any_key: Annotated[bool, typer.Option("--any", help="Rows with any of the keys; default: with all.")] = False,
    min_step: Annotated[int | None, typer.Option(min=0, help="First step, included.")] = None,
    max_step: Annotated[int | None, typer.Option(min=0, help="Last step, included.")] = None,
    stream: Annotated[str, typer.Option(help="default, system or console.")] = "default",
    exact: Annotated[
        bool, typer.Option("--exact", help="Add columns with the digits of integers beyond float64.")
    ] = False,
    writer: Annotated[str | None, typer.Option(help="The writer, such as rank1; default: the primary one.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Number of runs received concurrently.")] = 4,
    as_json: JsonFlag = False,
) -> None:
    """Write all rows of runs to files, also while runs are logging. An interrupted export resumes when repeated.

    Files that are complete and up to date are skipped. A file appears when it is complete.

    Examples:
        stepwell export me/digits/abc123 -o abc123.parquet
        stepwell export me/digits -f 'config.lr > 0.1'
        stepwell export me/digits/abc123 --shape long --format csv -o - | head
    """
    settings = DeploySettings()
    chosen = [parse_runs_path(name, settings.base_url) for name in runs]
    if filter_ and all(isinstance(path, RunPath) for path in chosen):
        raise typer.BadParameter("filters the runs of a project: name one, entity/project", param_hint="--filter")
    rows = {"key": keys or None, "having": "any" if any_key else None, "min_step": min_step, "max_step": max_step}
    if writer is not None and ("," in writer or writer == _EVERY_WRITER):
        # Rows of several writers share steps, and an export resumes after a step.
        raise typer.BadParameter("names one writer: export each to an output of its own", param_hint="--writer")
    given = {**rows, "stream": stream, "exact": exact or None, "writer": writer}
    chosen_format = fmt or _ENDINGS.get(output.suffix, ExportFormat.PARQUET)
    request = ExportRequest(chosen_format, shape, {name: value for name, value in given.items() if value is not None})
    with open_service(settings) as service:
        listed = listed_runs(service, chosen, filter_)
        if output == _STDOUT:
            _to_stdout(service, listed, request)
            return
        summary = _to_files(service, listed, request, output, jobs, quiet=as_json)
    if as_json:
        fields = {name: value for name, value in vars(summary).items() if name != "raw_from" or value}
        typer.echo(json.dumps(fields))
    else:
        _print_summary(summary, output)
    if summary.failed:
        raise typer.Exit(1)


def _to_files(
    service: ServiceClient, listed: Sequence[ListedRun], request: ExportRequest, output: Path, jobs: int, *, quiet: bool
) -> Summary:
    targets, folder = _targets(listed, request, output)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with locked(folder), Progress(*columns, console=console, disable=quiet) as bar:
        ready = bar.add_task("runs", total=len(listed))
        # The total of the run; an export of some keys or steps has fewer.
        rows = bar.add_task("rows", total=sum(_size(run, request) for run in listed))

        def ended(_: Any) -> None:
            bar.advance(ready)

        return export_runs(service, targets, request, jobs, lambda count: bar.advance(rows, count), ended)


def _targets(
    listed: Sequence[ListedRun], request: ExportRequest, output: Path
) -> tuple[list[tuple[ListedRun, Target]], Path]:
    """Return the target of each run, and their common folder."""
    if output.suffix in _ENDINGS and not output.is_dir():
        if len(listed) != 1:
            raise typer.BadParameter(f"{output} is one file, for {len(listed):,} runs; name a folder", param_hint="-o")
        return [(listed[0], single_target(output))], output.parent
    if output.is_file():
        raise typer.BadParameter(f"{output} is a file; name a folder", param_hint="--output")
    return [(run, folder_target(output, run.path, request)) for run in listed], output


def _size(run: ListedRun, request: ExportRequest) -> int:
    return run.points if request.shape is RowShape.LONG else run.rows


def _to_stdout(service: ServiceClient, listed: Sequence[ListedRun], request: ExportRequest) -> None:
    if len(listed) != 1:
        raise typer.BadParameter(f"- takes one run, not {len(listed):,}; name a folder", param_hint="--output")
    if request.fmt in {ExportFormat.PARQUET, ExportFormat.ARROW} and sys.stdout.isatty():
        raise typer.BadParameter(f"{request.fmt} is a binary format; name a file with --output", param_hint="--format")
    query = request.query(request.fmt)
    try:
        with service.stream(run_url(listed[0].path, "scan"), MEDIA_TYPES[request.fmt], query) as answer:
            _report_removed({str(listed[0].path): removed_to(answer)})
            for chunk in answer.iter_bytes():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. Python would fail again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_removed(first_steps: Mapping[str, int | None]) -> None:
    removed = [(path, step) for path, step in first_steps.items() if step is not None]
    for path, step in removed[:_SHOWN_FAILURES]:
        typer.echo(f"{path}: rows before step {step:,} are removed; the project keeps them no longer", err=True)
    if len(removed) > _SHOWN_FAILURES:
        typer.echo(f"and {len(removed) - _SHOWN_FAILURES:,} more runs; --json lists them all", err=True)


def _print_summary(summary: Summary, output: Path) -> None:
    already = f", {summary.unchanged:,} were up to date" if summary.unchanged else ""
    typer.echo(f"{summary.exported:,} run{'s' * (summary.exported != 1)} exported to {output}{already}")
    _report_removed(summary.raw_from)
    for path, why in list(summary.failed.items())[:_SHOWN_FAILURES]:
        typer.echo(f"{path} failed: {why}", err=True)
    more = len(summary.failed) - _SHOWN_FAILURES
    if more > 0:
        typer.echo(f"and {more:,} more runs failed; --json lists them all", err=True)
