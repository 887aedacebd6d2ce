"""The commands `keys create`, `list`, `revoke` and `bootstrap`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepwell_deploy.cli.commands.serve import DirOption, with_options
from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.errors import DatabaseHeldError, FolderInUseError, KeyExistsError
from stepwell_deploy.settings import DeploySettings

if TYPE_CHECKING:
    from stepwell_schemas.clickhouse.store import Store

_DSN: Final = "STEPWELL_CLICKHOUSE_DSN"
_RUNNING_REMEDY: Final = (
    "a running `stepwell up` holds its database: if it listens on loopback without keys, `stepwell keys create --scope "
    "admin` creates the first key; otherwise stop it, or start it with STEPWELL_ADMIN_KEY"
)
_ONCE: Final = "this text is shown once, and not stored: keep it where secrets are kept"

NameOption = Annotated[str, typer.Option(help="The purpose of the key. Default: its owner.")]
OwnerOption = Annotated[str, typer.Option(help="The user who acts with the key. Default: yourself.")]
ExpiresOption = Annotated[str, typer.Option(help="`30d`, `12h`, or a time such as 2027-01-31. Default: never.")]

keys_app = typer.Typer(
    help="API keys: create, list and revoke them.", no_args_is_help=True, rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(keys_app, name="keys")


@keys_app.command()
def create(
    scopes: Annotated[
        list[str],
        typer.Option("--scope", help="`read`, `write` or `admin`, then `:ENTITY` or `:ENTITY/PROJECT`; repeatable."),
    ],
    name: NameOption = "",
    owner: OwnerOption = "",
    expires: ExpiresOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Create a key, and print its text, which can't be shown again.

    Standard output has the text alone. You can create keys within what you administer. The first key of a service
    without access control turns it on, and must have the scope `admin`.

    Examples:
        stepwell keys create --scope admin --name first
        stepwell keys create --scope write:my-team/digits --name gpu-node-3 --expires 90d
        stepwell keys create --scope read:my-team --owner alice --json
    """
    body = {"scopes": scopes, "name": name, "owner": owner, "expires": expires}
    with open_service(DeploySettings()) as service:
        key = service.post("keys", body).json()
    _print_new(key, as_json=as_json)


@keys_app.command(name="list")
def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Also keys that are revoked or expired.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the keys within what you administer; their texts are not stored.

    Examples:
        stepwell keys list
        stepwell keys list --all --json
    """
    with open_service(DeploySettings()) as service:
        listed = service.get("keys")["keys"]
    shown = [key for key in listed if everything or key["state"] == "valid"]
    if as_json:
        typer.echo(json.dumps(shown))
    elif shown:
        Console().print(_table(shown))
    else:
        typer.echo("no keys")


@keys_app.command()
def revoke(
    key_ids: Annotated[list[str], typer.Argument(help="Ids of keys, as printed by `list`.")], as_json: JsonFlag = False
) -> None:
    """Revoke keys for ever; within seconds, no service accepts them.

    Examples:
        stepwell keys revoke 3f9a0c12de
    """
    with open_service(DeploySettings()) as service:
        revoked = [service.delete(f"keys/{key_id}") for key_id in key_ids]
    if as_json:
        typer.echo(json.dumps(revoked))
    else:
        for key in revoked:
            typer.echo(f"revoked {key['key_id']} ({key['name']})")


@keys_app.command()
def bootstrap(
    name: NameOption = "bootstrap",
    owner: OwnerOption = "admin",
    force: Annotated[bool, typer.Option(help="Create one although a key with the scope admin exists.")] = False,
    folder: DirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Create the first key, with the scope admin, directly in the database where no service runs.

    It works at STEPWELL_CLICKHOUSE_DSN, or without it on the data folder of `stepwell up`, which must not run. Services
    that are running accept the key within seconds.

    Examples:
        stepwell keys bootstrap
        STEPWELL_CLICKHOUSE_DSN=http://clickhouse:8123 stepwell keys bootstrap --json
    """
    from stepwell_schemas.access.grants import Grant, Scope
    from stepwell_schemas.access.key_rules import describe_key, is_full_admin
    from stepwell_schemas.access.key_store import KeyStore, epoch_ms
    from stepwell_schemas.logs import configure_logging

    configure_logging("warning")
    with _open_store(with_options(DeploySettings(), folder, None)) as store:
        keys = KeyStore(store)
        admins = [key for key in keys.valid(epoch_ms()) if is_full_admin(key.grants)]
        if admins and not force:
            raise KeyExistsError(admins[0].key_id, admins[0].name)
        created, key = keys.create(name, owner, [Grant(Scope.ADMIN)])
        _print_new({"key": created.text, **describe_key(key, epoch_ms())}, as_json=as_json)


@contextmanager
def _open_store(settings: DeploySettings) -> Iterator[Store]:
    """Yield the database of the settings, or of a stopped `up`. Raises: StoreError, FolderInUseError."""
    from stepwell_deploy.local.data_dir import locked_folder
    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.errors import StoreInUseError
    from stepwell_schemas.migrations.runner import migrate
    from stepwell_schemas.settings import StoreSettings

    storage = StoreSettings()
    try:
        if _DSN in os.environ:
            with connect(storage.clickhouse_dsn.get_secret_value(), storage.clickhouse_database, pool_size=1) as store:
                migrate(store)
                yield store
            return
        with (
            locked_folder(settings.server_dir.expanduser().resolve()) as folder,
            connect(f"chdb://{folder / 'clickhouse'}", storage.clickhouse_database, pool_size=1) as store,
        ):
            migrate(store)
            yield store
    except (FolderInUseError, StoreInUseError) as error:
        raise DatabaseHeldError(f"{error}; {_RUNNING_REMEDY}") from error


def _print_new(key: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(key))
        return
    notes = Console(stderr=True)
    expiry = f", expires {key['expires']}" if key["expires"] else ""
    text = f"key {key['key_id']} of {key['owner']}: {', '.join(key['scopes'])}{expiry}; {_ONCE}"
    notes.print(Text(text), soft_wrap=True)
    typer.echo(key["key"])


def _table(keys: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "owner", "scopes", "state", "expires", "last used"):
        table.add_column(column, overflow="fold")
    for key in keys:
        cells = (key["key_id"], key["name"], key["owner"], "\n".join(key["scopes"]), key["state"])
        table.add_row(*(Text(cell) for cell in (*cells, _day(key["expires"]), _day(key["last_used"]))))
    return table


def _day(time: str | None) -> str:
    return "never" if time is None else time[:16].replace("T", " ")
