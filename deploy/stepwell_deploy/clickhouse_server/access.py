"""Access to the ClickHouse port: refuses other web pages, and distinguishes the writer from guests by credentials."""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from stepwell_deploy.clickhouse_server.request import StatementError
from stepwell_schemas.http_hosts import host_is_allowed, origin_is_own

AUTHENTICATION_CODE: Final = 516
ACCESS_CODE: Final = 497
_GUESTS: Final = frozenset({"", "default"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_UNREADABLE: Final = ("?", "?")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Name and password of the user with write access."""

    user: str
    password: str

    def writes(self, fields: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Return whether a request is the writer's, or a guest's. Raises: StatementError for any other credentials."""
        user, password = _given(fields, headers)
        if user in _GUESTS and not password:
            return False
        # Both are always compared, so that the timing does not reveal the user's name.
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        same_password = hmac.compare_digest(password.encode(), self.password.encode())
        if same_user and same_password:
            return True
        raise StatementError(
            f"Code: {AUTHENTICATION_CODE}. DB::Exception: {user}: Authentication failed: password is incorrect, or "
            "there is no user with such name. (AUTHENTICATION_FAILED)",
            AUTHENTICATION_CODE,
        )


def check_browser(headers: Mapping[str, str], allowed_hosts: Collection[str]) -> None:
    """Refuse requests that a web page of another origin may have sent; ClickHouse's clients send none of these headers.

    Raises:
        StatementError: when `Host` is an unknown name, or `Origin`, `Referer` or `Sec-Fetch-Site` name another site.
    """
    host = headers.get("host", "")
    if not host_is_allowed(host, allowed_hosts):
        raise _denied(f"the Host {host!r} is not allowed; add its name to STEPWELL_ALLOWED_HOSTS")
    origin, referer = headers.get("origin"), headers.get("referer")
    if origin is not None and not origin_is_own(origin, host):
        raise _denied(f"requests from a page of {origin!r} are refused")
    if referer and not origin_is_own("{0.scheme}://{0.netloc}".format(_split(referer)), host):
        raise _denied("requests from a page of another origin are refused")
    if headers.get("sec-fetch-site", "none").lower() not in _OWN_SITES:
        raise _denied("requests from a page of another site are refused")


def _split(url: str) -> Any:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _given(fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    header = headers.get("authorization", "")
    if header.startswith("Basic "):
        try:
            user, _, password = b64decode(header.removeprefix("Basic ")).decode().partition(":")
        except ValueError:
            return _UNREADABLE
        return user, password
    named = headers.get("x-clickhouse-user")
    if named is not None:
        return named, headers.get("x-clickhouse-key", "")
    return fields.get("user", ""), fields.get("password", "")


def _denied(reason: str) -> StatementError:
    return StatementError(f"Code: {ACCESS_CODE}. DB::Exception: Access denied: {reason}. (ACCESS_DENIED)", ACCESS_CODE)
