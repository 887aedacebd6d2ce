"""The command `sql`: one statement, through the query service, or directly to ClickHouse under the same rules."""

from __future__ import annotations

import io
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.rendering import rows_within
from stepwell_deploy.settings import DeploySettings


class Output(StrEnum):
    """Output format of the result."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


_BINARY = {Output.ARROW, Output.PARQUET}
_WIDE = 10_000


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(sql)


def sql(
    statement: Annotated[str, typer.Argument(help="One statement that reads the public views: docs/sql.md.")],
    parameters: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="name=value of a {name:Type}; repeat for several.")
    ] = None,
    as_json: JsonFlag = False,
    output: Annotated[Output, typer.Option("--format", help="Output format of the result.")] = Output.TABLE,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; default: the terminal.")
    ] = None,
) -> None:
    """Run one statement through the query service, or directly at STEPWELL_CLICKHOUSE_DSN if no service is up.

    A table that is wider than the terminal is printed as a list of columns for each row.

    Examples:
        stepwell sql "SELECT run_id, count() FROM numbers GROUP BY run_id"
        stepwell sql "SELECT * FROM metrics WHERE run_id = {run:String}" -p run=abc123
        stepwell sql "SELECT * FROM numbers" --format parquet -o numbers.parquet
    """
    chosen = Output.JSON if as_json else output
    if chosen in _BINARY and file is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{chosen} is a binary format; name a file with --output", param_hint="--format")
    content = _ask(statement, _values(parameters or []), Output.JSON if chosen is Output.TABLE else chosen)
    if chosen is Output.TABLE:
        content = _drawn(content, file)
    if file is not None:
        file.write_bytes(content)
    else:
        sys.stdout.buffer.write(content if chosen in _BINARY else content.rstrip(b"\n") + b"\n")
        sys.stdout.buffer.flush()


def _drawn(content: bytes, file: Path | None) -> bytes:
    answer = json.loads(content)
    # The width of the terminal; in a file, the width of the longest line.
    console = Console() if file is None else Console(width=_WIDE, file=io.StringIO())
    with console.capture() as captured:
        console.print(rows_within([column["name"] for column in answer["columns"]], answer["rows"], console.width))
    return captured.get().encode()


def _values(parameters: list[str]) -> dict[str, str]:
    values = {}
    for parameter in parameters:
        name, separator, value = parameter.partition("=")
        if not separator:
            raise typer.BadParameter(f"{parameter!r} must have the form name=value", param_hint="--param")
        values[name] = value
    return values


def _ask(statement: str, values: dict[str, str], output: Output) -> bytes:
    settings = DeploySettings()
    body: dict[str, Any] = {"sql": statement, "parameters": values}
    try:
        with open_service(settings) as service:
            return service.post(f"sql?format={output}", body, accept="*/*").content
    except httpx.ConnectError:
        # A service that was named explicitly gets no fallback, which would hide that it is down.
        if "STEPWELL_CLICKHOUSE_DSN" not in os.environ or "STEPWELL_BASE_URL" in os.environ:
            raise
    return _ask_store(statement, values, output)


def _ask_store(statement: str, values: dict[str, str], output: Output) -> bytes:
    from stepwell_query.encoding import Format
    from stepwell_query.errors import QueryError
    from stepwell_query.settings import QuerySettings
    from stepwell_query.sql.execute import answer_bytes, prepare, run
    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.logs import configure_logging

    configure_logging("warning")
    settings = QuerySettings()
    with connect(settings.clickhouse_dsn.get_secret_value(), settings.clickhouse_database, pool_size=1) as store:
        try:
            return answer_bytes(run(store, prepare(store, statement, values), settings), Format(str(output)))
        except QueryError as error:
            raise ServiceRefusedError(str(error)) from error
