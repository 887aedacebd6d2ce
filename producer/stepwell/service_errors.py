"""Sentences about a service that gives no usable answer, with a remedy that fits what is known of it.

Errors of httpx are compared by the names of their classes: importing it would take a third of the time of `import
stepwell`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

START_REMEDY: Final = "start one with `stepwell up`, or set STEPWELL_KAFKA_BOOTSTRAP_SERVERS or STEPWELL_BASE_URL"
KEY_REMEDY: Final = "run `stepwell login`, or set STEPWELL_API_KEY"
URL_REMEDY: Final = "set STEPWELL_BASE_URL to a URL such as http://127.0.0.1:8420"

_NO_URL: Final = {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}
_NO_SERVER: Final = {"ConnectError", "ConnectTimeout"}
_SLOW: Final = {"TimeoutException"}
_OTHER_SERVER: Final = {"HTTPStatusError", "ValueError", "LookupError", "TypeError"}
_SERVER_ERRORS: Final = 500
_UNAUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403


_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
CA_REMEDY: Final = (
    "name the file with its authority as STEPWELL_CA_FILE, and the host in STEPWELL_BASE_URL as in the certificate"
)


class Unanswered(NamedTuple):
    """A request without a usable answer, and the remedy; "" if there is nothing to do but wait."""

    text: str
    remedy: str


def describe_unanswered(base_url: str, error: Exception) -> Unanswered:
    """Describe the error of a request to the service at `base_url`. A service that runs needs no start."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    name = type(error).__name__
    if kinds & _NO_URL:
        return Unanswered(f"{base_url!r} is no URL of a service ({name})", URL_REMEDY)
    if _UNTRUSTED in str(error):
        return Unanswered(f"the certificate of {base_url} is not trusted ({_reason(error)})", CA_REMEDY)
    if kinds & _NO_SERVER:
        return Unanswered(f"no server at {base_url} ({name})", START_REMEDY)
    if kinds & _SLOW:
        return Unanswered(f"the server at {base_url} is busy: no answer in time ({name})", "")
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status >= _SERVER_ERRORS:
        return Unanswered(f"the server at {base_url} answers {status}", "")
    if status == _UNAUTHENTICATED:
        return Unanswered(f"{base_url} requires a key, or refuses the one it got ({status})", KEY_REMEDY)
    if status == _FORBIDDEN:
        return Unanswered(f"{base_url} does not permit this with the key it got ({status})", KEY_REMEDY)
    if kinds & _OTHER_SERVER:
        return Unanswered(f"{base_url} does not answer as a Stepwell service ({name})", URL_REMEDY)
    return Unanswered(f"the connection to {base_url} failed ({name}: {error})", "")


def _reason(error: Exception) -> str:
    """Return OpenSSL's reason, without the place in its source."""
    return str(error).partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or type(error).__name__
