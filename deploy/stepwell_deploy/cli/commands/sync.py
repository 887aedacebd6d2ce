"""The command `sync`, which delivers the journals on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stepwell_deploy.cli.options import JsonFlag


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(name="sync")(deliver)


def deliver(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Journals or folders; STEPWELL_DIR and this user's temporary folders if not given."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep journals that are delivered and stored.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Deliver journals: of offline runs, and of runs that could not send everything. Resumable; safe to repeat.

    Delivered journals are removed when the service has stored them.

    Examples:
        stepwell sync
        stepwell sync .stepwell/journals
    """
    from stepwell.delivery.sync import sync

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=as_json) as bar:
        tasks = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)

        results = sync(paths or [], progress=progress, keep=keep)
    if as_json:
        typer.echo(json.dumps([result.as_json() for result in results]))
    else:
        for result in results:
            typer.echo(str(result))
        if not results:
            typer.echo("nothing to deliver")
    if any(result.error for result in results):
        raise typer.Exit(1)
