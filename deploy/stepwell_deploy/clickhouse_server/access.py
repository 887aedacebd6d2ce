"""Access to the ClickHouse port: refuses other web pages, and distinguishes the writer from guests by credentials."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from stepwell_deploy.clickhouse_server.request import StatementError
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import OPEN_IDENTITY, Identity, Method
from stepwell_schemas.access.refusals import Refusal
from stepwell_schemas.http.hosts import host_is_allowed, origin_is_own

AUTHENTICATION_CODE: Final = 516
ACCESS_CODE: Final = 497
UNAVAILABLE_CODE: Final = 210
_UNAVAILABLE_STATUS: Final = 500
_GUESTS: Final = frozenset({"", "default"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_UNREADABLE: Final = ("?", "?")


class Caller(NamedTuple):
    """The user of a request, and whether it is the one with write access."""

    identity: Identity
    writer: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """Name and password of the user with write access, and the authenticator of everyone else.

    Without an authenticator, everyone else is a guest without a password.
    """

    user: str
    password: str
    authenticator: Authenticator | None = None

    async def identify(self, fields: Mapping[str, str], headers: Mapping[str, str]) -> Caller:
        """Return the caller of a request: the writer, or a guest, who proves an identity by a key as password.

        Raises:
            StatementError: for credentials that are wrong or missing, or can't be checked, and for keys that may not
                read anything.
        """
        given = _given(fields, headers)
        # Both are always compared, so that the timing does not reveal the user's name.
        same_user = hmac.compare_digest(given.user.encode(), self.user.encode())
        same_password = hmac.compare_digest(given.password.encode(), self.password.encode())
        if same_user and same_password:
            return Caller(OPEN_IDENTITY, writer=True)
        anonymous = given.user in _GUESTS and not given.password and not given.token
        found = OPEN_IDENTITY if self.authenticator is None else await self.authenticator.identify(given.headers())
        if isinstance(found, Refusal):
            raise _unavailable() if found.status >= _UNAVAILABLE_STATUS else _wrong(anonymous)
        if found.method is Method.OPEN and not anonymous:
            raise _wrong(anonymous)
        if not found.resources(Scope.READ):
            raise _denied("the key may not read anything; use one with the scope read")
        return Caller(found, writer=False)


class _Given(NamedTuple):
    """The credentials of a request: user and password, or a bearer token."""

    user: str
    password: str
    token: str = ""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header with which the services receive the same secret; the user's name has no meaning there."""
        if self.token:
            return [(b"authorization", f"Bearer {self.token}".encode())]
        if not self.password:
            return []
        return [(b"authorization", b"Basic " + b64encode(f":{self.password}".encode()))]


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


def _given(fields: Mapping[str, str], headers: Mapping[str, str]) -> _Given:
    scheme, _, text = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "basic":
            try:
                user, _, password = b64decode(text.strip()).decode().partition(":")
            except ValueError:
                return _Given(*_UNREADABLE)
            return _Given(user, password)
        case "bearer":
            return _Given("", "", text.strip() or "?")
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return _Given(headers.get("x-clickhouse-user", ""), headers.get("x-clickhouse-key", ""))
    return _Given(fields.get("user", ""), fields.get("password", ""))


def _wrong(anonymous: bool) -> StatementError:
    # Without the user's name: some clients send the key in its place.
    rule = "a key is required" if anonymous else "password is incorrect, or there is no user with such name"
    return StatementError(
        f"Code: {AUTHENTICATION_CODE}. DB::Exception: Authentication failed: {rule}; send a key of Stepwell as the "
        "password, with any user name. (AUTHENTICATION_FAILED)",
        AUTHENTICATION_CODE,
    )


def _unavailable() -> StatementError:
    return StatementError(
        f"Code: {UNAVAILABLE_CODE}. DB::Exception: The key can't be checked now; send it again later. (NETWORK_ERROR)",
        UNAVAILABLE_CODE,
    )


def _denied(reason: str) -> StatementError:
    return StatementError(f"Code: {ACCESS_CODE}. DB::Exception: Access denied: {reason}. (ACCESS_DENIED)", ACCESS_CODE)
