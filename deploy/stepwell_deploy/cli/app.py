"""The command line `stepwell`. Exit codes: 0 done, 1 failed with a message, 2 wrong usage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from stepwell_deploy.cli.commands import (
    audit,
    change,
    console,
    deadletters,
    export,
    keys,
    login,
    move,
    read,
    rebuild,
    retention,
    rollups,
    serve,
    sql,
    status,
    sync,
    verify,
)
from stepwell_deploy.cli.commands.errors import EXPECTED_FAILURES, sentence
from stepwell_deploy.cli.examples import show_examples

app = typer.Typer(
    name="stepwell",
    help="Streaming ingestion of training metrics: log steps, store them in ClickHouse, view any series quickly.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(given: bool) -> None:
    if given:
        typer.echo(f"stepwell {version('stepwell')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


serve.register(app)
status.register(app)
read.register(app)
sql.register(app)
change.register(app)
export.register(app)
console.register(app)
sync.register(app)
deadletters.register(app)
verify.register(app)
rollups.register(app)
rebuild.register(app)
move.register(app)
keys.register(app)
login.register(app)
audit.register(app)
retention.register(app)
show_examples(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, of this process if no arguments are given.

    An expected failure prints one sentence on stderr and ends with exit code 1.
    """
    try:
        app(arguments)
    except EXPECTED_FAILURES as error:
        Console(stderr=True).print(f"[red]stepwell:[/red] {sentence(error)}", highlight=False, soft_wrap=True)
        sys.exit(1)
