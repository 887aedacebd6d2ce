"""Commands about rollups: check that they are what the points give, compute them anew."""

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

from stepwell_deploy.cli.commands.errors import EXPECTED_FAILURES, sentence
from stepwell_deploy.cli.options import JsonFlag
from stepwell_schemas.settings import StoreSettings

# ClickHouse's client is slow to import; `stepwell --help` needs none.
if TYPE_CHECKING:
    from stepwell_schemas.clickhouse.store import Store
    from stepwell_schemas.rollups.check import CheckResult, Difference
    from stepwell_schemas.rollups.rebuild import Work

_LISTED: Final = 50
RunsArgument = Annotated[
    str | None, typer.Argument(help="entity/project/run_id, or entity/project; all runs when left out.", metavar="RUNS")
]

rollups_app = typer.Typer(
    help="Rollups, from which long series are drawn: check that they are what the points give, compute them anew.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(rollups_app, name="rollups")


@rollups_app.command()
def check(runs: RunsArgument = None, as_json: JsonFlag = False) -> None:
    """Compare the row of every closed bucket with what the points give, and name what differs.

    Safe while runs log: what an ingestor is at work on is looked at again. ClickHouse is where STEPWELL_CLICKHOUSE_DSN
    says; a user that may only read will do.

    Exit code 0: the same. 1: something differs. 2: could not compare.

    Examples: `stepwell rollups check` · `stepwell rollups check me/digits` ·
    `stepwell rollups check me/digits/abc123 --json`
    """
    from stepwell_schemas.rollups.check import CheckResult, settled
    from stepwell_schemas.rollups.check import check as check_work

    found = CheckResult()
    try:
        with _store() as store:
            for work in _works(store, runs, "checking", as_json):
                check_work(store, work, found)
            found = settled(store, found)
    except EXPECTED_FAILURES as error:
        Console(stderr=True).print(f"[red]stepwell:[/red] {sentence(error)}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps({**_counts(found), "differences": [_as_json(one) for one in found.differences]}))
    else:
        _show(found)
    raise typer.Exit(1 if found.differing else 0)


@rollups_app.command()
def rebuild(runs: RunsArgument = None, as_json: JsonFlag = False) -> None:
    """Compute the row of every closed bucket anew from the points, and take away rows that have none.

    Safe while runs log, and safe to repeat. ClickHouse is where STEPWELL_CLICKHOUSE_DSN says; its user must be one that
    may write.

    Examples: `stepwell rollups rebuild me/digits/abc123` · `stepwell rollups rebuild`
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
        typer.echo(f"rebuilt the rollups of {count:,} {'run' if count == 1 else 'runs'}, of {points:,} points")


@contextmanager
def _store() -> Iterator[Store]:
    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.logs import configure_logging

    configure_logging("warning")
    settings = StoreSettings()
    with connect(settings.clickhouse_dsn.get_secret_value(), settings.clickhouse_database, pool_size=1) as store:
        yield store


def _works(store: Store, runs: str | None, doing: str, quiet: bool) -> Iterator[Work]:
    """Yield what there is to do, with a bar that shows how many points of how many are done."""
    from stepwell_schemas.rollups.rebuild import Scope, works

    found = works(store, Scope.parse(runs))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task(f"{doing}, points", total=sum(work.points for work in found))
        for work in found:
            yield work
            bar.advance(task, work.points)


def _counts(found: CheckResult) -> dict[str, int]:
    return {"buckets": found.buckets, "differing": found.differing}


def _as_json(one: Difference) -> dict[str, Any]:
    rows = {name: _plain(row) for name, row in (("stored", one.stored), ("computed", one.computed))}
    place = {"run": str(one.path), "key": one.key, "level": one.level, "bucket": one.bucket, **_steps(one)}
    return {**place, "what": one.what, **rows}


def _steps(one: Difference) -> dict[str, int]:
    return {"from": one.bucket << one.level, "to": (one.bucket + 1 << one.level) - 1}


def _plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    # JSON has neither NaN nor infinities.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: CheckResult) -> None:
    if found.differences:
        table = Table(box=None, pad_edge=False)
        for column in ("run", "key", "steps", "what is wrong", "stored", "the points give"):
            table.add_column(column, overflow="fold")
        for one in found.differences[:_LISTED]:
            steps = _steps(one)
            table.add_row(
                escape(str(one.path)), escape(one.key), f"{steps['from']:,} to {steps['to']:,}", one.what, *_sides(one)
            )
        Console().print(table, highlight=False)
        if found.differing > _LISTED:
            typer.echo(f"{found.differing - _LISTED:,} more are not shown; --json has more")
        typer.echo(
            f"different: {found.differing:,} of {found.buckets:,} buckets; `stepwell rollups rebuild` mends them"
        )
    else:
        typer.echo(f"the same: {found.buckets:,} buckets")


def _sides(one: Difference) -> tuple[str, str]:
    """Return what both rows say, where both are there only as far as they differ."""
    stored, computed = _plain(one.stored) or {}, _plain(one.computed) or {}
    same = {name for name in stored if stored[name] == computed.get(name)}
    return _listed(stored, same), _listed(computed, same)


def _listed(row: dict[str, Any], left_out: set[str]) -> str:
    return "  ".join(f"{name} {value}" for name, value in row.items() if name not in left_out)
