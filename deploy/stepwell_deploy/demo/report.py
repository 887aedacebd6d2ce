"""The report at the end of the demo: the runs, a curve, durations, and three SQL queries."""

from __future__ import annotations

import time
from typing import Any, Final

import plotext
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepwell.api.paths import run_url
from stepwell_deploy.demo.results import LongRun
from stepwell_deploy.rendering import runs_table
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.rules.identifiers import RunPath

_POINTS: Final = 1_000
_VIEWS: Final = 5
_PLOT_WIDTH: Final = 100
_PLOT_HEIGHT: Final = 18
_QUERIES: Final = (
    (
        "How did the learning rate decide?",
        "SELECT r.name AS run, JSONExtractFloat(r.config, 'learning_rate') AS learning_rate, max(n.value) AS best "
        "FROM numbers AS n INNER JOIN runs AS r USING (entity, project, run_id) "
        "WHERE n.entity = 'demo' AND n.project = 'digits' AND n.key = 'validation/accuracy' "
        "GROUP BY run, learning_rate ORDER BY best DESC LIMIT 3",
    ),
    (
        "How fast did a million steps learn?",
        "SELECT intDiv(step, 200000) * 200000 AS from_step, round(avg(value), 4) AS loss FROM numbers "
        "WHERE entity = 'demo' AND project = 'digits' AND run_id = '{run_id}' AND key = 'loss' "
        "GROUP BY from_step ORDER BY from_step",
    ),
    (
        "What is stored?",
        "SELECT kind, count() AS metrics, sum(count) AS points FROM metrics "
        "WHERE entity = 'demo' AND project = 'digits' GROUP BY kind",
    ),
)


def print_report(console: Console, service: ServiceClient, short: list[RunPath], long: LongRun) -> None:
    """Print the report."""
    console.rule("The runs")
    console.print(runs_table([service.get(run_url(path)) for path in [*short, long.path]]))
    view, seconds = _timed_view(service, long.path)
    console.rule(f"Loss of {long.steps:,} steps, drawn from {len(view['step']):,} points")
    _print_curve(console, view)
    console.rule("How long it took")
    console.print(_durations(long, seconds))
    for question, statement in _QUERIES:
        sql = statement.replace("{run_id}", long.path.run_id)
        console.rule(question)
        console.print(f"[dim]{sql}[/dim]", highlight=False)
        console.print(_answer(service.post("sql", {"sql": sql}).json()))


def _timed_view(service: ServiceClient, path: RunPath) -> tuple[dict[str, Any], float]:
    seconds = []
    for _ in range(_VIEWS):
        began = time.perf_counter()
        body = service.get(run_url(path, "series"), key="loss", points=_POINTS)
        seconds.append(time.perf_counter() - began)
    view: dict[str, Any] = body["series"][0]
    return view, sorted(seconds)[_VIEWS // 2]


def _print_curve(console: Console, view: dict[str, Any]) -> None:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(_PLOT_WIDTH, _PLOT_HEIGHT)
    plotext.plot(view["step"], view["mean"] or view["value"], marker="braille")
    plotext.xlabel("step")
    console.print(Text(plotext.uncolorize(plotext.build())))


def _durations(long: LongRun, view_seconds: float) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("training, logging included", f"{long.training_seconds:.1f} s")
    per_call = long.log_seconds / long.steps * 1e6
    table.add_row("log() calls", f"{long.log_seconds:.2f} s", f"{per_call:.2f} µs a call, measured around each")
    table.add_row("from the last log() until all was stored", f"{long.delivery_seconds:.2f} s")
    table.add_row(
        f"{_POINTS:,} points of the long run, over HTTP", f"{view_seconds * 1e3:.1f} ms", f"median of {_VIEWS}"
    )
    return table


def _answer(body: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in body["columns"]:
        table.add_column(column["name"])
    for row in body["rows"]:
        table.add_row(*(str(value) for value in row))
    return table
