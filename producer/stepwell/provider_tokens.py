"""Tokens of the service's identity provider: got by the device flow (RFC 8628), and renewed when they have expired."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stepwell.errors import AuthenticationError

_TIMEOUT_SECONDS: Final = 10.0
_MARGIN_SECONDS: Final = 60.0
"""Seconds before its end from which a token is renewed."""

_INTERVAL_SECONDS: Final = 5.0
_SLOWER_SECONDS: Final = 5.0
_CODE_SECONDS: Final = 600.0
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_REFRESH_GRANT: Final = "refresh_token"


class DeviceCode(NamedTuple):
    """A sign-in that waits for its user: the address and code to show, and what to request tokens with."""

    url: str
    user_code: str
    complete_url: str
    device_code: str
    interval: float
    seconds: float


class DeviceSignIn:
    """Sign-in at a provider by a code that the user confirms in a browser, on this machine or another one.

    Args:
        issuer, client_id, scopes: the provider and the client of the service, as `/api/v1/signin` names them.
        sleep, clock: of the time between two requests.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        scopes: str,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._scopes = scopes if "offline_access" in scopes.split() else f"{scopes} offline_access"
        self._sleep = sleep
        self._clock = clock
        self._endpoints: Mapping[str, Any] = {}

    def begin(self) -> DeviceCode:
        """Return the code to show to the user. Raises: AuthenticationError."""
        self._endpoints = _get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if self._endpoints.get("issuer") != self._issuer or "token_endpoint" not in self._endpoints:
            raise AuthenticationError(f"{self._issuer} does not answer as the identity provider of the service")
        if "device_authorization_endpoint" not in self._endpoints:
            raise AuthenticationError(f"{self._issuer} has no sign-in for devices; sign in with a key")
        form = {"client_id": self._client_id, "scope": self._scopes}
        status, answer = _post(str(self._endpoints["device_authorization_endpoint"]), form)
        if status != 200 or not {"device_code", "user_code", "verification_uri"} <= answer.keys():
            raise AuthenticationError(f"{self._issuer} refuses the sign-in: {_reason(status, answer)}")
        return DeviceCode(
            str(answer["verification_uri"]),
            str(answer["user_code"]),
            str(answer.get("verification_uri_complete") or ""),
            str(answer["device_code"]),
            float(answer.get("interval", _INTERVAL_SECONDS)),
            float(answer.get("expires_in", _CODE_SECONDS)),
        )

    def wait(self, code: DeviceCode) -> dict[str, Any]:
        """Wait until the user has confirmed the code; return the tokens to keep. Raises: AuthenticationError."""
        deadline, interval = self._clock() + code.seconds, code.interval
        form = {"grant_type": _DEVICE_GRANT, "device_code": code.device_code, "client_id": self._client_id}
        while self._clock() + interval < deadline:
            self._sleep(interval)
            try:
                status, answer = _post(str(self._endpoints["token_endpoint"]), form)
            except AuthenticationError:
                # A provider that does not answer now may do so before the code expires.
                interval *= 2
                continue
            if status == 200:
                return to_entry(answer, str(self._endpoints["token_endpoint"]), self._client_id)
            match answer.get("error"):
                case "authorization_pending":
                    continue
                case "slow_down":
                    interval += _SLOWER_SECONDS
                case "access_denied":
                    raise AuthenticationError("the sign-in was refused in the browser")
                case "expired_token":
                    break
                case _:
                    raise AuthenticationError(f"{self._issuer} refuses the sign-in: {_reason(status, answer)}")
        raise AuthenticationError("the code was not confirmed in time; run `stepwell login` again")


def to_entry(answer: Mapping[str, Any], token_endpoint: str, client_id: str) -> dict[str, Any]:
    """Return what is kept of a token endpoint's answer.

    The ID token, if there is one: it is always a JSON Web Token for the client, which the service can verify.
    """
    token = answer.get("id_token") or answer.get("access_token")
    if not isinstance(token, str):
        raise AuthenticationError("the identity provider has given no token")
    return {
        "token": token,
        "expires": read_expiry(token),
        "token_endpoint": token_endpoint,
        "client_id": client_id,
        "refresh_token": str(answer.get("refresh_token") or ""),
    }


def read_expiry(token: str) -> float:
    """Return the time (seconds since the epoch) at which a token expires, as it says; 0 if it does not say."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, LookupError, TypeError):
        return 0.0


def is_due(entry: Mapping[str, Any]) -> bool:
    """Return True if a kept token is to be renewed."""
    expires = entry.get("expires")
    return isinstance(expires, int | float) and time.time() > expires - _MARGIN_SECONDS


def renew(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the tokens that follow kept ones; None if the provider gives none."""
    if not entry.get("refresh_token") or not entry.get("token_endpoint"):
        return None
    form = {
        "grant_type": _REFRESH_GRANT,
        "refresh_token": str(entry["refresh_token"]),
        "client_id": str(entry.get("client_id", "")),
    }
    try:
        status, answer = _post(str(entry["token_endpoint"]), form)
        if status != 200:
            return None
        renewed = to_entry(answer, str(entry["token_endpoint"]), str(entry.get("client_id", "")))
    except AuthenticationError:
        return None
    return renewed | {"refresh_token": renewed["refresh_token"] or entry["refresh_token"]}


def _get(url: str) -> Mapping[str, Any]:
    status, answer = _request("GET", url, None)
    if status != 200:
        raise AuthenticationError(f"{url} answers {status}")
    return answer


def _post(url: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    return _request("POST", url, form)


def _request(method: str, url: str, form: Mapping[str, str] | None) -> tuple[int, Mapping[str, Any]]:
    import httpx

    from stepwell_schemas.http.trust import client_trust

    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, verify=client_trust()) as client:
            response = client.request(method, url, data=form, headers={"Accept": "application/json"})
        document = response.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = f"the identity provider can't be reached at {url} ({type(error).__name__})"
        raise AuthenticationError(reason) from error
    except ValueError as error:
        raise AuthenticationError(f"{url} does not answer with JSON") from error
    return response.status_code, document if isinstance(document, dict) else {}


def _reason(status: int, answer: Mapping[str, Any]) -> str:
    text = str(answer.get("error_description") or answer.get("error") or status)
    return "".join(char for char in text if char.isprintable())[:200]
