"""The command `rebuild`, which builds the tables again from the log."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.progress import TextColumn
from rich.table import Table

from stepwell.api.paths import parse_run_path
from stepwell_deploy.cli.commands.errors import EXPECTED_FAILURES, sentence
from stepwell_deploy.cli.commands.serve import DirOption, with_options
from stepwell_deploy.cli.options import RUN_HELP, JsonFlag
from stepwell_deploy.rendering import counted
from stepwell_deploy.settings import DeploySettings

if TYPE_CHECKING:
    from stepwell_deploy.rebuild.report import RebuildReport
    from stepwell_deploy.rebuild.runner import Progress
    from stepwell_ingestor.settings import IngestorSettings

_LISTED: Final = 50


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(rebuild)


def rebuild(
    run: Annotated[str | None, typer.Argument(help=f"{RUN_HELP} All runs if not given.", metavar="RUN")] = None,
    since: Annotated[
        list[str] | None, typer.Option("--from", help="partition:offset to begin at; may be repeated.")
    ] = None,
    switch: Annotated[bool, typer.Option(help="Replace the tables if they differ.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Also replace tables that hold more than the log.")
    ] = False,
    discard: Annotated[
        bool, typer.Option(help="Drop the rebuilt tables, or after a switch the previous ones.")
    ] = False,
    folder: DirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Build the tables again from the log, compare them with the present ones, and replace these with --switch.

    Without --switch nothing is replaced. The rebuilt tables are in a database of their own; a rebuild that was
    interrupted continues. Ingestors may run while the log is read, and must be stopped for the comparison. Without
    STEPWELL_KAFKA_BOOTSTRAP_SERVERS, it works on the data folder of `stepwell up`, which must not run.

    Exit code 0: the same, or replaced. 1: different, and not replaced. 2: could not compare.

    Examples:
        stepwell rebuild
        stepwell rebuild --switch
        stepwell rebuild me/digits/abc123 --switch
    """
    from stepwell_schemas.logs import configure_logging

    configure_logging("warning")
    if discard:
        _discard(folder)
        return
    report = _report(run, since or [], folder, switch=switch, accept_loss=accept_loss)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def parse_since(texts: Sequence[str]) -> dict[int, int]:
    """Return offsets by partition. Raises: typer.BadParameter."""
    since = {}
    for text in texts:
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise typer.BadParameter(f"{text!r} must have the form partition:offset, such as 0:1200")
        since[int(partition)] = int(offset)
    return since


def _report(
    run: str | None, since: Sequence[str], folder: Path | None, *, switch: bool, accept_loss: bool
) -> RebuildReport:
    from aiokafka.errors import KafkaError

    from stepwell_deploy.rebuild.report import Outcome, RebuildReport
    from stepwell_deploy.rebuild.runner import RebuildRequest
    from stepwell_deploy.rebuild.runner import rebuild as rebuild_tables
    from stepwell_ingestor.errors import StepwellIngestorError

    offsets = parse_since(since)
    try:
        path = None if run is None else parse_run_path(run, DeploySettings().base_url)
        request = RebuildRequest(path, offsets, switch, accept_loss)
        with _progress() as progress, _environment(folder, progress) as settings:
            return rebuild_tables(request, settings, progress)
    except EXPECTED_FAILURES as error:
        return RebuildReport(Outcome.NOT_COMPARABLE, reason=_plain(error))
    except StepwellIngestorError as error:
        return RebuildReport(Outcome.NOT_COMPARABLE, reason=str(error))
    except KafkaError as error:
        reason = f"Kafka does not answer as it should: {type(error).__name__}: {error}"
        return RebuildReport(Outcome.NOT_COMPARABLE, reason=reason)
    except Exception as error:
        # Python's exit code for an unexpected error is 1, which would mean that something differs.
        traceback.print_exc()
        raise typer.Exit(2) from error


def _discard(folder: Path | None) -> None:
    from stepwell_deploy.rebuild.runner import discard as discard_tables

    with _progress() as progress, _environment(folder, progress) as settings:
        discard_tables(settings)


@contextmanager
def _environment(folder: Path | None, progress: Progress) -> Iterator[IngestorSettings]:
    """Yield the settings of an ingestor: those of the environment, or of a stack on this machine that is stopped."""
    from stepwell_deploy.local.stopped_stack import stopped_stack
    from stepwell_ingestor.settings import IngestorSettings

    settings = IngestorSettings()
    if settings.kafka_bootstrap_servers and folder is None:
        yield settings
        return
    with stopped_stack(with_options(DeploySettings(), folder, None), progress.say) as settings:
        yield settings


@contextmanager
def _progress() -> Iterator[Progress]:
    from stepwell_deploy.rebuild.runner import Progress

    notes = Console(stderr=True)
    with Bar(TextColumn("{task.description}"), console=notes, transient=True) as bar:
        task = bar.add_task("")
        yield Progress(
            lambda text: notes.print(f"[dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True),
            lambda events: bar.update(task, description=f"replayed {events:,} events"),
        )


def _plain(error: Exception) -> str:
    from rich.markup import render

    return render(sentence(error)).plain


def _show(report: RebuildReport) -> None:
    if report.differences:
        table = Table(box=None, pad_edge=False)
        for column in ("run", "what differs"):
            table.add_column(column, overflow="fold")
        for column in ("only in the tables", "only in the log", "changed"):
            table.add_column(column, justify="right")
        for difference in report.differences[:_LISTED]:
            counts = (f"{count:,}" for count in (difference.lost, difference.gained, difference.changed))
            table.add_row(escape(difference.run), ", ".join(difference.views), *counts)
        Console().print(table, highlight=False)
        if len(report.differences) > _LISTED:
            typer.echo(f"{len(report.differences) - _LISTED:,} more are not shown; --json has all of them")
    if report.reason:
        typer.echo(report.reason)
    typer.echo(_sentence(report))


def _sentence(report: RebuildReport) -> str:
    from stepwell_deploy.rebuild.report import Outcome

    rebuilt = f"{report.points:,} values of {counted(report.runs, 'run')}"
    match report.outcome:
        case Outcome.SAME:
            return f"the same: {rebuilt}"
        case Outcome.DIFFERENT:
            return f"different: {len(report.differences):,} runs; `stepwell rebuild --switch` replaces the tables"
        case Outcome.SWITCHED:
            return f"replaced; the tables have {rebuilt}" if report.runs else "replaced"
        case Outcome.REFUSED:
            return "not replaced"
        case Outcome.NOT_COMPARABLE:
            return "could not rebuild"
