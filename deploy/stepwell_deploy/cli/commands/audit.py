"""The command `audit`: who did what, for administrators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from stepwell.api.paths import parse_project_path
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.rendering import rows_within
from stepwell_deploy.settings import DeploySettings

_PAGE: Final = 1_000
_COLUMNS: Final = ("time", "action", "user", "on", "status", "address", "detail")
_NONE: Final = "No entries."


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(audit)


def audit(
    project: Annotated[
        str | None, typer.Argument(help="entity or entity/project; everything that you administer if not given.")
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option("--action", "-a", help="Such as run.delete or key.create; repeat for several.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="The user.")] = None,
    since: Annotated[str | None, typer.Option(help="The earliest time, in ISO 8601; without a zone, in UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="The time before which entries are.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of entries to show.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List who did what, newest first: sign-ins, keys, edits, deletions, SQL. Needs a key with the scope admin.

    Examples:
        stepwell audit
        stepwell audit me/digits --action run.delete --since 2026-01-31
        stepwell audit --actor ann --limit 1000 --json
    """
    settings = DeploySettings()
    given: dict[str, Any] = {"action": action or None, "actor": actor, "since": since, "until": until}
    if project is not None:
        entity, slash, _ = project.strip("/").partition("/")
        given["entity"] = entity
        if slash:
            given["entity"], given["project"] = parse_project_path(project, settings.base_url)
    entries: list[dict[str, Any]] = []
    with open_service(settings) as service:
        cursor = None
        while len(entries) < limit:
            page = service.get("audit", **given, limit=min(_PAGE, limit - len(entries)), cursor=cursor)
            entries += page["entries"]
            cursor = page["next"]
            if cursor is None:
                break
    if as_json:
        typer.echo(json.dumps(entries))
    elif entries:
        console = Console()
        console.print(rows_within(_COLUMNS, [_row(entry) for entry in entries], console.width))
    else:
        typer.echo(_NONE)


def _row(entry: Mapping[str, Any]) -> list[Any]:
    """Return the cells of an entry; a status of 0 stands for several actions in one entry."""
    user = entry["actor"] + (f" ({entry['key_id']})" if entry["key_id"] else "")
    path = "/".join(part for part in (entry["entity"], entry["project"], entry["run_id"]) if part)
    detail = json.dumps(entry["detail"], ensure_ascii=False) if entry["detail"] else ""
    return [entry["time"], entry["action"], user, path, entry["status"] or "", entry["address"], detail]
