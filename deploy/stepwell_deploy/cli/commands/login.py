"""The commands `login`, `logout` and `whoami`."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TextIO
from urllib.parse import urlsplit

import typer

from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings

HostOption = Annotated[str | None, typer.Option("--host", help="URL of the service; default: STEPWELL_BASE_URL.")]
SsoOption = Annotated[
    bool | None, typer.Option("--sso/--no-sso", help="Sign in at the identity provider, or with a key.")
]
_VARIABLE: Final = "STEPWELL_API_KEY"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(login)
    app.command()(logout)
    app.command()(whoami)


def login(host: HostOption = None, sso: SsoOption = None, as_json: JsonFlag = False) -> None:
    """Verify a key at the service, and keep it in a file of yours alone, where the SDK and the commands find it.

    Prompts for the key, or reads it from standard input. A key is never an argument, which other users could see.
    If the service has an identity provider, you sign in there, with a browser on any machine, unless --no-sso is given.
    For a training that lasts longer than the provider's tokens, use a key.

    Examples:
        stepwell login
        stepwell login --host https://stepwell.example
        stepwell login --sso
    """
    from stepwell.credentials import keep_key, keep_tokens
    from stepwell.sign_in import check_key, check_key_text

    settings = DeploySettings()
    url = (host or settings.base_url).rstrip("/")
    before = check_key(url, "")
    if before.unanswered is not None:
        raise ServiceRefusedError("; ".join(filter(None, before.unanswered)))
    if before.is_open:
        _report({"service": url, "open": True, "file": None}, f"{url} requires no key", as_json=as_json)
        return
    _warn_about(url)
    if sso or (sso is None and _standard_input().isatty()):
        tokens = _sign_in_at_provider(url, needed=bool(sso))
        if tokens is not None:
            _keep(url, tokens["token"], lambda: keep_tokens(url, tokens, settings.credentials_file), as_json=as_json)
            return
    key = check_key_text(_read_key(url))
    _keep(url, key, lambda: keep_key(url, key, settings.credentials_file), as_json=as_json)


def _keep(url: str, credential: str, keep: Callable[[], Path], *, as_json: bool) -> None:
    """Keep a credential that the service accepts."""
    from stepwell.sign_in import check_key

    answer = check_key(url, credential)
    if answer.identity is None:
        reason = "refuses the key" if answer.unanswered is None else answer.unanswered.text
        raise ServiceRefusedError(f"{url} {reason}; an administrator creates keys with `stepwell keys create`")
    file = keep()
    scopes = ", ".join(answer.identity["scopes"])
    text = f"signed in at {url} as {answer.identity['name']} ({scopes}); the key is kept in {file}"
    _report({"service": url, **answer.identity, "file": str(file)}, text, as_json=as_json)


def _sign_in_at_provider(url: str, *, needed: bool) -> dict[str, Any] | None:
    """Return the tokens of the user at the service's identity provider; None if it has none, and none is `needed`."""
    from stepwell.provider_tokens import DeviceSignIn

    with ServiceClient(url) as service:
        oidc = service.get("signin")["oidc"]
    if oidc is None or not oidc["client_id"]:
        if needed:
            reason = "has no identity provider" if oidc is None else "names no client for devices"
            raise ServiceRefusedError(f"{url} {reason} (STEPWELL_OIDC_CLI_CLIENT_ID); sign in with a key")
        return None
    sign_in = DeviceSignIn(oidc["issuer"], oidc["client_id"], oidc["scopes"])
    code = sign_in.begin()
    typer.echo(f"open {code.complete_url or code.url} and confirm the code {code.user_code}", err=True)
    return sign_in.wait(code)


def logout(host: HostOption = None) -> None:
    """Remove the key that `login` kept for the service; the key itself stays valid until it is revoked.

    Examples:
        stepwell logout
    """
    from stepwell.credentials import find_key, forget_key

    settings = DeploySettings()
    url = (host or settings.base_url).rstrip("/")
    if not find_key(url, settings.credentials_file):
        typer.echo(f"no key is kept for {url}")
        return
    typer.echo(f"removed the key for {url} from {forget_key(url, settings.credentials_file)}")


def whoami(as_json: JsonFlag = False) -> None:
    """Show the identity and the scopes of your key at the service.

    Examples:
        stepwell whoami
    """
    settings = DeploySettings()
    with open_service(settings) as service:
        identity = service.get("whoami")
    key = f", key {identity['key_id']}" if identity["key_id"] else ""
    text = f"{identity['name']}{key}: {', '.join(identity['scopes'])}"
    if identity["open"]:
        text = f"{settings.base_url} is open: it requires no key"
    _report({"service": settings.base_url, **identity}, text, as_json=as_json)


def _read_key(url: str) -> str:
    """Return the key that the user types, or that standard input has."""
    given = _standard_input()
    if given.isatty():
        return getpass.getpass(f"Key for {url}: ", stream=sys.stderr)
    return given.readline()


def _standard_input() -> TextIO:
    return sys.stdin


def _warn_about(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        typer.echo(f"stepwell: {url} is not encrypted: others on the network can read the key", err=True)
    if os.environ.get(_VARIABLE):
        typer.echo(f"stepwell: {_VARIABLE} is set, and has precedence over the key that is kept", err=True)


def _report(values: dict[str, Any], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(values) if as_json else text)
