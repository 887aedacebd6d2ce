"""Signing in: verifies a key at the service, and keeps it for later processes of the user."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from stepwell.credentials import keep_key
from stepwell.errors import AuthenticationError, CredentialsError
from stepwell.service_errors import KEY_REMEDY, Unanswered, describe_unanswered
from stepwell.service_requests import key_headers
from stepwell.settings import ProducerSettings
from stepwell.terminal import notify

_ASK_SECONDS: Final = 5.0
_UNAUTHENTICATED: Final = 401
_NOT_FOUND: Final = 404


class SignIn(NamedTuple):
    """The service's answer to a key.

    Attributes:
        identity: the answer of `/api/v1/whoami`, None if there is none.
        refused: True if the service does not accept the key, or requires one.
        unanswered: the reason why the service can't be asked, None if it answered.
    """

    identity: dict[str, Any] | None = None
    refused: bool = False
    unanswered: Unanswered | None = None

    @property
    def is_open(self) -> bool:
        """Return True if the service requires no key."""
        return self.identity is not None and bool(self.identity.get("open"))


def check_key(base_url: str, key: str, seconds: float = _ASK_SECONDS) -> SignIn:
    """Ask the service about a key, or without one about itself. Errors are in the answer."""
    import httpx

    from stepwell_schemas.http.trust import client_trust

    try:
        url = f"{base_url.rstrip('/')}/api/v1/whoami"
        response = httpx.get(url, headers=key_headers(key), timeout=seconds, verify=client_trust())
        if response.status_code == _UNAUTHENTICATED:
            return SignIn(refused=True)
        if response.status_code == _NOT_FOUND:
            # A service of a version without keys.
            return SignIn({"name": "", "open": True})
        response.raise_for_status()
        identity = response.json()
        return SignIn({**identity, "open": bool(identity["open"])})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        return SignIn(unanswered=describe_unanswered(base_url, error))


def check_key_text(key: str) -> str:
    """Return a key without blanks around it. Raises: AuthenticationError, when it can't be one."""
    text = key.strip()
    if not text or not (text.isascii() and text.isprintable() and " " not in text):
        raise AuthenticationError(f"a key is printable ASCII characters without blanks; {KEY_REMEDY}")
    return text


def login(
    key: str | None = None,
    *,
    relogin: bool | None = None,
    host: str | None = None,
    timeout: float | None = None,
    verify: bool = False,
) -> bool:
    """Use a key for this process and later ones: see `stepwell.login`."""
    settings = ProducerSettings(**({"base_url": host} if host else {}))
    known = "" if relogin else settings.api_key.get_secret_value()
    given = check_key_text(key) if key else known
    answer = check_key(settings.base_url, given, timeout or _ASK_SECONDS)
    if answer.refused and not key and _is_interactive():
        given = check_key_text(getpass.getpass(f"stepwell: key for {settings.base_url}: ", stream=sys.stderr))
        answer = check_key(settings.base_url, given, timeout or _ASK_SECONDS)
    if answer.refused:
        return _refused(f"{settings.base_url} {'refuses the key' if given else 'requires a key'}; {KEY_REMEDY}", verify)
    if answer.unanswered is not None:
        text = "; ".join(filter(None, answer.unanswered))
        if verify:
            raise AuthenticationError(f"the key is not verified: {text}")
        notify(f"the key is not verified: {text}")
    if host:
        os.environ["STEPWELL_BASE_URL"] = host
    if given and given != known and not answer.is_open:
        _use(settings, given)
    return True


def _use(settings: ProducerSettings, key: str) -> None:
    # Of this process and those that it starts, also where an older key is in the environment.
    os.environ["STEPWELL_API_KEY"] = key
    file: Path | None = settings.credentials_file
    try:
        keep_key(settings.base_url, key, file)
    except CredentialsError as error:
        notify(f"{error}; this process uses it nevertheless")


def _refused(text: str, verify: bool) -> bool:
    if verify:
        raise AuthenticationError(text)
    notify(f"{text}; runs are recorded, and sent once it is set")
    return False


def _is_interactive() -> bool:
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
