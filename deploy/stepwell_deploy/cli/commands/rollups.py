"""The commands `rollups check` and `rollups rebuild`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stepwell.api.paths import parse_runs_path
from stepwell_deploy.cli.commands.errors import EXPECTED_FAILURES, sentence
from stepwell_deploy.cli.options import JsonFlag
from stepwell_deploy.rendering import counted
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.settings import StoreSettings

# ClickHouse's client is slow to import; `stepwell --help` needs none.
if TYPE_CHECKING:
    from stepwell_schemas.clickhouse.store import Store
    from stepwell_schemas.rollups.check import CheckResult, Difference
    from stepwell_schemas.rollups.rebuild import Work

_LISTED: Final = 50
RunsArgument = Annotated[
    str | None,
    typer.Argument(
        help="entity/project/run_id, or entity/project, or the address of such a page. All runs if not given.",
        metavar="RUNS",
    ),
]

rollups_app = typer.Typer(
    help="Rollups, from which long series are drawn: check them against the points, and rebuild them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(rollups_app, name="rollups")


@rollups_app.command()
def check(runs: RunsArgument = None, as_json: JsonFlag = False) -> None:
    """Compare the rollup row of every closed bucket with its points, and list the differences.

    Safe while runs are logging: buckets that an ingestor is writing are compared again. Connects to
    STEPWELL_CLICKHOUSE_DSN; a user with read access is sufficient.

    Exit code 0: the same. 1: different. 2: could not compare.

    Examples:
        stepwell rollups check
        stepwell rollups check me/digits
        stepwell rollups check me/digits/abc123 --json
    """
    from stepwell_schemas.rollups.check import CheckResult, settled
    from stepwell_schemas.rollups.check import check as check_work

    comparison = CheckResult()
    try:
        with _store() as store:
            for work in _works(store, runs, "checking", as_json):
                check_work(store, work, comparison)
            comparison = settled(store, comparison)
    except EXPECTED_FAILURES as error:
        Console(stderr=True).print(f"[red]stepwell:[/red] {sentence(error)}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(
            json.dumps(
                {**_counts(comparison), "differences": [_as_json(difference) for difference in comparison.differences]}
            )
        )
    else:
        _show(comparison)
    raise typer.Exit(1 if comparison.differing else 0)


@rollups_app.command()
def rebuild(runs: RunsArgument = None, as_json: JsonFlag = False) -> None:
    """Recompute the rollup row of every closed bucket from the points, and delete rows without points.

    Safe while runs are logging, and safe to repeat. Connects to STEPWELL_CLICKHOUSE_DSN, with a user that has write
    access.

    Examples:
        stepwell rollups rebuild me/digits/abc123
        stepwell rollups rebuild
    """
    from stepwell_schemas.rollups.rebuild import rebuild as rebuild_work

    count = points = 0
    with _store() as store:
        for work in _works(store, runs, "rebuilding", as_json):
            rebuild_work(store, work)
            count, points = count + len(work.runs), points + work.points
    if as_json:
        typer.echo(json.dumps({"runs": count, "points": points}))
    else:
        typer.echo(f"rebuilt the rollups of {counted(count, 'run')}, of {points:,} points")


@contextmanager
def _store() -> Iterator[Store]:
    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.logs import configure_logging

    configure_logging("warning")
    settings = StoreSettings()
    with connect(settings.clickhouse_dsn.get_secret_value(), settings.clickhouse_database, pool_size=1) as store:
        yield store


def _works(store: Store, runs: str | None, doing: str, quiet: bool) -> Iterator[Work]:
    """Yield the items of work, with a progress bar of the points that are done."""
    from stepwell_schemas.rollups.rebuild import Scope, works

    scope = Scope() if runs is None else Scope(*parse_runs_path(runs, DeploySettings().base_url))
    work_items = works(store, scope)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task(f"{doing}, points", total=sum(work.points for work in work_items))
        for work in work_items:
            yield work
            bar.advance(task, work.points)


def _counts(comparison: CheckResult) -> dict[str, int]:
    return {"buckets": comparison.buckets, "differing": comparison.differing}


def _as_json(difference: Difference) -> dict[str, Any]:
    rows = {name: _plain(row) for name, row in (("stored", difference.stored), ("computed", difference.computed))}
    position = {
        "run": str(difference.path),
        "key": difference.key,
        "writer": difference.writer,
        "level": difference.level,
        "bucket": difference.bucket,
        **_steps(difference),
    }
    return {**position, "what": difference.what, **rows}


def _steps(difference: Difference) -> dict[str, int]:
    return {"from": difference.bucket << difference.level, "to": (difference.bucket + 1 << difference.level) - 1}


def _plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    # JSON has neither NaN nor infinities.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _show(comparison: CheckResult) -> None:
    if comparison.differences:
        table = Table(box=None, pad_edge=False)
        for column in ("run", "key", "steps", "what is wrong", "stored", "the points give"):
            table.add_column(column, overflow="fold")
        for difference in comparison.differences[:_LISTED]:
            steps = _steps(difference)
            table.add_row(
                escape(str(difference.path)),
                escape(f"{difference.key} of {difference.writer}" if difference.writer else difference.key),
                f"{steps['from']:,} to {steps['to']:,}",
                difference.what,
                *_sides(difference),
            )
        Console().print(table, highlight=False)
        if comparison.differing > _LISTED:
            typer.echo(f"{comparison.differing - _LISTED:,} more are not shown; --json has more")
        typer.echo(
            f"different: {comparison.differing:,} of {comparison.buckets:,} buckets; "
            "`stepwell rollups rebuild` fixes them"
        )
    else:
        typer.echo(f"the same: {comparison.buckets:,} buckets")


def _sides(difference: Difference) -> tuple[str, str]:
    """Return the values of both rows; if both exist, only those that differ."""
    stored, computed = _plain(difference.stored) or {}, _plain(difference.computed) or {}
    same = {name for name in stored if stored[name] == computed.get(name)}
    return _listed(stored, same), _listed(computed, same)


def _listed(row: dict[str, Any], left_out: set[str]) -> str:
    return "  ".join(f"{name} {value}" for name, value in row.items() if name not in left_out)
