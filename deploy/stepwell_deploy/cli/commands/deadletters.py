"""The commands `deadletters list`, `show` and `redrive`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.settings import DeploySettings
from stepwell_schemas.errors import DeadLetterReason

# Kafka's client and the codec are slow to import; `stepwell --help` needs neither.
if TYPE_CHECKING:
    from stepwell_deploy.deadletters.models import Letter
    from stepwell_deploy.deadletters.redrive import Redriven
    from stepwell_deploy.deadletters.topic import DeadLetters
    from stepwell_schemas.rules.identifiers import RunPath
    from stepwell_schemas.settings import KafkaSettings

ReasonOption = Annotated[DeadLetterReason | None, typer.Option(help="Only letters with this reason.")]
RunOption = Annotated[str | None, typer.Option(help="Only letters of this run: entity/project/run_id.")]

letters_app = typer.Typer(
    help="Events that could not be used: list them, look into them, send them again.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(letters_app, name="deadletters")


def _kafka() -> KafkaSettings:
    from stepwell_deploy.kafka_connection import find_kafka

    with open_service(DeploySettings()) as service:
        return find_kafka(service)


@letters_app.command(name="list")
def list_letters(
    reason: ReasonOption = None,
    run: RunOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of letters to show, newest first.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List dead letters, the newest last.

    States of a letter: *redriven*: sent again, and stored; *partly stored*: the usable part of the event was stored
    when it first arrived; *refused again*: sent again, and still not usable. The state *redriven* comes from the
    query service; it is not shown if no service answers.

    Examples:
        stepwell deadletters list
        stepwell deadletters list --reason bad_key --limit 1000 --json
    """
    from stepwell_deploy.kafka_connection import run_kafka

    kafka = _kafka()
    entries, count = run_kafka(kafka, _newest(kafka, reason, run, limit))
    _mark_redriven(entries)
    letters = [letter for letter, _ in entries]
    if as_json:
        typer.echo(json.dumps(letters))
    elif not letters:
        typer.echo("no dead letters")
    else:
        Console().print(_table(letters))
        if count > len(letters):
            typer.echo(f"{count - len(letters):,} older ones are not shown; raise --limit to see them")


async def _newest(
    kafka: KafkaSettings, reason: str | None, run: str | None, limit: int
) -> tuple[list[tuple[dict[str, Any], RunPath | None]], int]:
    """Return the newest letters as JSON, each with the run it would be stored in, and the total number of letters."""
    from stepwell_deploy.deadletters.models import as_json
    from stepwell_deploy.deadletters.topic import DeadLetters

    count = 0
    newest: dict[int, deque[tuple[dict[str, Any], RunPath | None]]] = defaultdict(lambda: deque(maxlen=limit))
    async with DeadLetters.open(kafka) as opened:
        async for letter in opened.select(reason, run):
            count += 1
            newest[letter.name.partition].append((as_json(letter, len(opened.partitions)), letter.path))
    entries = sorted((entry for part in newest.values() for entry in part), key=lambda entry: entry[0]["timestamp"])
    return (entries if len(newest) > 1 else [entry for part in newest.values() for entry in part])[-limit:], count


def _mark_redriven(entries: list[tuple[dict[str, Any], RunPath | None]]) -> None:
    from stepwell_deploy.deadletters.redrive import stored_sessions

    with open_service(DeploySettings()) as service:
        stored = stored_sessions(service, {path for _, path in entries if path is not None})
    for letter, _ in entries:
        letter["redriven"] = None if stored is None else letter["redriven_session"] in stored


def _table(letters: list[dict[str, Any]]) -> Table:
    from stepwell_deploy.deadletters.models import plain

    table = Table(box=None, pad_edge=False)
    for column in ("name", "when", "reason", "run", "origin", "bytes", "state"):
        table.add_column(column, justify="right" if column in {"name", "bytes"} else "left", overflow="fold")
    for letter in letters:
        size = "too large" if letter["bytes"] is None else f"{letter['bytes']:,}"
        cells = (letter["name"], _when(letter["timestamp"]), letter["reason"], letter["run"], letter["origin"], size)
        table.add_row(*(Text(plain(cell)) for cell in (*cells, _state(letter))))
    return table


def _state(letter: dict[str, Any]) -> str:
    again = letter["origin"] != letter["first_origin"]
    states = {"redriven": letter["redriven"], "partly stored": letter["partly_stored"], "refused again": again}
    return ", ".join(text for text, holds in states.items() if holds)


def _when(milliseconds: int) -> str:
    import numpy as np

    # Foreign records may have any timestamp; numpy can format all of them.
    return f"{np.datetime_as_string(np.datetime64(milliseconds, 'ms'), unit='s')}Z"


@letters_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of the letter, as printed by `list`.")],
    payload: Annotated[
        Path | None, typer.Option(help="Write the bytes of the event to this file; - for stdout.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a dead letter: its headers, and the decoded event, or its first bytes if it can't be decoded.

    Examples:
        stepwell deadletters show 17
        stepwell deadletters show 17 --payload event.bin
    """
    from stepwell_deploy.deadletters.models import as_json as to_json
    from stepwell_deploy.deadletters.models import describe
    from stepwell_deploy.kafka_connection import run_kafka

    kafka = _kafka()
    letter, value, partitions = run_kafka(kafka, _read(kafka, name, with_value=payload is not None))
    if payload is not None:
        _write(payload, value)
    elif as_json:
        event = None if letter.event is None else [list(line) for line in describe(letter.event)]
        typer.echo(json.dumps({**to_json(letter, partitions), "headers": dict(letter.headers), "event": event}))
    else:
        _print(letter, partitions)


async def _read(kafka: KafkaSettings, name: str, *, with_value: bool) -> tuple[Letter, bytes, int]:
    from stepwell_deploy.deadletters.topic import DeadLetters

    async with DeadLetters.open(kafka) as opened:
        letter = await opened.named(name)
        value = (await opened.original(letter))[1] if with_value else b""
        return letter, value, len(opened.partitions)


def _write(file: Path, value: bytes) -> None:
    if str(file) == "-":
        sys.stdout.buffer.write(value)
        return
    try:
        file.write_bytes(value)
    except OSError as error:
        raise typer.BadParameter(f"--payload {file}: {error.strerror}") from error


def _print(letter: Letter, partitions: int) -> None:
    from stepwell_deploy.deadletters.models import describe, hex_dump, plain

    lines = [("letter", letter.name.short(partitions)), ("put here", _when(letter.at))]
    lines += [("key", "none" if letter.key is None else letter.key.decode("utf-8", "backslashreplace"))]
    lines += [
        ("bytes", "too large for a letter: still at the origin" if letter.value is None else f"{len(letter.value):,}")
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (*lines, *((f"header {name}", text) for name, text in letter.headers.items())):
        table.add_row(plain(name), Text(plain(text)))
    if letter.event is not None:
        for name, text in describe(letter.event):
            table.add_row(name, Text(plain(text)))
    Console().print(table)
    if letter.event is None and letter.value:
        typer.echo(hex_dump(letter.value))


@letters_app.command()
def redrive(
    names: Annotated[list[str] | None, typer.Argument(help="Names of letters, as printed by `list`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    reason: ReasonOption = None,
    run: RunOption = None,
    partly_stored: Annotated[
        bool,
        typer.Option(
            "--partly-stored",
            help="Also those of which a part is stored. The whole event is then stored once more: rows that ask for a "
            "step at that step, later values winning; rows that ask for none, or for one below the row before, at the "
            "current step, so that what of them is stored already is there twice.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send the events of dead letters again, byte for byte, to the topic and partition that they came from.

    The ingestor stores each event once, however often it is sent. An event that it still can't use becomes a new dead
    letter. Letters stay in their topic. Exit code 1 if a letter could not be sent.

    Examples:
        stepwell deadletters redrive 17 18
        stepwell deadletters redrive --reason unknown_schema
    """
    from stepwell_deploy.kafka_connection import run_kafka

    selected = everything or reason is not None or run is not None
    if bool(names) == selected:
        raise typer.BadParameter("name letters, or choose them by --all, --reason or --run; not both")
    kafka = _kafka()
    done, partitions = run_kafka(kafka, _redrive(kafka, names or [], reason, run, partly_stored=partly_stored))
    _print_redriven(done, partitions, as_json=as_json)
    if done.failed:
        raise typer.Exit(1)


async def _redrive(
    kafka: KafkaSettings, names: list[str], reason: str | None, run: str | None, *, partly_stored: bool
) -> tuple[Redriven, int]:
    from stepwell_deploy.deadletters.redrive import redrive
    from stepwell_deploy.deadletters.topic import DeadLetters

    async with DeadLetters.open(kafka) as opened:
        letters = _named(opened, names) if names else opened.select(reason, run)
        return await redrive(kafka, opened, letters, partly_stored=partly_stored), len(opened.partitions)


async def _named(opened: DeadLetters, names: list[str]) -> AsyncIterator[Letter]:
    # All letters are looked up before the first is sent, so a wrong name sends nothing.
    for letter in [await opened.named(name) for name in names]:
        yield letter


def _print_redriven(done: Redriven, partitions: int, *, as_json: bool) -> None:
    partly = [name.short(partitions) for name in done.partly_stored]
    failed = [(name.short(partitions), why) for name, why in done.failed]
    if as_json:
        same = [name.short(partitions) for name in done.same_event]
        sent = [name.short(partitions) for name in done.sent]
        problems = [{"name": name, "error": why} for name, why in failed]
        typer.echo(json.dumps({"sent": sent, "same_event": same, "partly_stored": partly, "failed": problems}))
        return
    typer.echo(f"{len(done.sent):,} sent again")
    if done.same_event:
        typer.echo(f"{len(done.same_event):,} are duplicates of the same events, which are sent once")
    if partly:
        listed = " ".join(partly)
        typer.echo(f"{len(partly):,} skipped, since a part is stored (--partly-stored sends them): {listed}")
    for name, why in failed:
        typer.echo(f"{name} not sent: {why}", err=True)
