"""The sign-in page: HTML of the service itself, which needs no script, and the pages that it returns to."""

from __future__ import annotations

import re
from html import escape
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

SIGN_IN: Final = "/signin"
SIGN_OUT: Final = "/signout"
SIGNED_OUT: Final = "signed_out"
"""The `state` with which the identity provider leads back to the sign-in page."""

PROVIDER: Final = "/signin/provider"
START: Final = "/"

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No script, no frame, and a form that is sent to this service alone."""

RETURN_MAX_CHARS: Final = 2_000
_PLACEHOLDER: Final = re.compile(r"{{(\w+)}}")
_RETURN: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this service: printable ASCII without a backslash, which browsers read as a slash."""


class SignInPage(NamedTuple):
    """The content of the page.

    Attributes:
        return_to: the page to show after the sign-in.
        provider: the name of the identity provider; "" if there is none.
        error: the reason why a sign-in failed; "" if none did.
        note: another message.
    """

    return_to: str = START
    provider: str = ""
    error: str = ""
    note: str = ""

    def render(self, template: str) -> str:
        """Return the document. All values are escaped, and placeholders within them are text."""
        values = {
            "next": escape(self.return_to),
            "message": self._message(),
            "provider": self._provider(),
            "autofocus": "" if self.provider else " autofocus",
        }
        return _PLACEHOLDER.sub(lambda match: values[match[1]], template)

    def _message(self) -> str:
        if self.error:
            return f'<p class="message" role="alert">{escape(self.error)}</p>'
        return f'<p class="message" role="status">{escape(self.note)}</p>' if self.note else ""

    def _provider(self) -> str:
        if not self.provider:
            return ""
        address = escape(f"{PROVIDER}?next={quote(self.return_to, safe='/')}")
        link = f'<a class="button" href="{address}">Continue with {escape(self.provider)}</a>'
        return f'{link}\n<p class="or">or</p>'


def check_return(address: str | None) -> str:
    """Return a page of this service to show after a sign-in; the start page for anything else.

    `//host`, `/\\host` and addresses with a scheme lead to other hosts, and the sign-in page would lead to itself.
    """
    if not address or len(address) > RETURN_MAX_CHARS or _RETURN.fullmatch(address) is None:
        return START
    path = urlsplit(address).path
    return START if path.startswith((SIGN_IN, SIGN_OUT)) else address


def sign_in_address(path: str, query: str = "") -> str:
    """Return the address of the sign-in page that returns to a path (decoded) with a query."""
    target = quote(path) + (f"?{query}" if query else "")
    return SIGN_IN if target == START else f"{SIGN_IN}?next={quote(target, safe='/')}"
