"""The command `verify`, which compares a run's journals, log and tables."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape, render
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stepwell.api.paths import parse_run_path
from stepwell_deploy.cli.commands.errors import EXPECTED_FAILURES, sentence
from stepwell_deploy.cli.options import RUN_HELP, JsonFlag, open_service
from stepwell_deploy.settings import DeploySettings

if TYPE_CHECKING:
    from stepwell_deploy.verify.compare import DifferenceValue, Report
    from stepwell_deploy.verify.runner import ReportProgress
    from stepwell_ingestor.verify.fingerprints import Ask


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(verify)


def verify(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="The folder of the journals; STEPWELL_DIR if not given.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare a run's journals, log and tables, bit for bit, and list the differences.

    The log is replayed as the ingestor reads it. Journals are those on this machine. The addresses of Kafka and
    ClickHouse come from the environment or from the query service. Safe while the run is logging.

    All values of the run are counted once for each step. The receipt of `finish()` counts the calls of one session,
    without system metrics and console lines.

    Exit code 0: the same. 1: different. 2: could not compare.

    Examples:
        stepwell verify me/digits/abc123
        stepwell verify me/digits/abc123 --json
    """
    report = report_on(run, folder, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def report_on(run: str, folder: Path | None, *, quiet: bool = True) -> Report:
    """Return the report on a run; if no comparison is possible, the report has the reason.

    Raises:
        typer.Exit: with code 2, if no report can be made.
    """
    try:
        from aiokafka.errors import KafkaError

        from stepwell.errors import StepwellError
        from stepwell.settings import ProducerSettings
        from stepwell_deploy.verify.compare import not_comparable
        from stepwell_deploy.verify.runner import find_log, verify_run
        from stepwell_ingestor.errors import StepwellIngestorError
    except ModuleNotFoundError as error:
        # The report itself needs the missing package.
        Console(stderr=True).print(f"[red]stepwell:[/red] {sentence(error)}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    try:
        path = parse_run_path(run, DeploySettings().base_url)
        with _progress(quiet=quiet) as progress, _tables() as tables:
            return verify_run(path, find_log(), tables, folder or ProducerSettings().dir, progress)
    except EXPECTED_FAILURES as error:
        return not_comparable(run, render(sentence(error)).plain)
    except (StepwellIngestorError, StepwellError) as error:
        return not_comparable(run, str(error))
    except KafkaError as error:
        return not_comparable(run, f"Kafka does not answer as it should: {type(error).__name__}: {error}")
    except Exception as error:
        # Python's exit code for an unexpected error is 1, which would mean that something differs.
        traceback.print_exc()
        raise typer.Exit(2) from error


@contextmanager
def _progress(*, quiet: bool) -> Iterator[ReportProgress]:
    """Yield the function that shows progress on a terminal's stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    notes = Console(stderr=True)
    with Progress(*columns, console=notes, transient=True, disable=quiet or not notes.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show


@contextmanager
def _tables() -> Iterator[Ask]:
    """Yield the function that queries the tables: directly or through the service, as `stepwell sql` does."""
    from stepwell_deploy.verify.runner import ask_service, ask_store

    if "STEPWELL_CLICKHOUSE_DSN" in os.environ and "STEPWELL_BASE_URL" not in os.environ:
        from stepwell_schemas.clickhouse.store import connect
        from stepwell_schemas.logs import configure_logging
        from stepwell_schemas.settings import StoreSettings

        configure_logging("warning")
        settings = StoreSettings()
        with connect(settings.clickhouse_dsn.get_secret_value(), settings.clickhouse_database, pool_size=1) as store:
            yield ask_store(store)
        return
    with open_service(DeploySettings()) as service:
        yield ask_service(service)


def _show(report: Report) -> None:
    if report.differences:
        table = Table(box=None, pad_edge=False)
        for column in ("key", "kind", "what differs"):
            table.add_column(column, overflow="fold")
        for column in ("in journal", "in log", "in tables"):
            table.add_column(column, justify="right", overflow="fold")
        for difference in report.differences:
            sides = (_shown(side) for side in (difference.journal, difference.log, difference.tables))
            table.add_row(escape(difference.key), difference.kind, escape(difference.what), *sides)
        Console().print(table, highlight=False)
    for note in report.notes:
        typer.echo(note)
    typer.echo(str(report))


def _shown(side: DifferenceValue) -> str:
    return "" if side is None else f"{side:,}" if isinstance(side, int) else escape(side)
