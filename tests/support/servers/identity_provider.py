"""A real OpenID Connect provider (oidc-provider, on Node.js), and a user's browser that signs in at it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from joserfc.jwk import RSAKey

from stepwell_deploy.ports import claim_port
from support.paths import ROOT, TESTS

_SCRIPT = TESTS / "support" / "javascript" / "identity_provider.mjs"
_MODULES = ROOT / "query" / "node_modules"
_FORM = re.compile(r'<form[^>]*action="(?P<action>[^"]+)"', re.DOTALL)
_INPUT = re.compile(r"<input[^>]*>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
SECRET = "secret of tests: %&+"


class IdentityProvider:
    """The provider's process; restarted with other keys, it keeps its address."""

    def __init__(self, redirect_uri: str) -> None:
        self.port = claim_port("127.0.0.1", 0, "")
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.keys = [new_key("first")]
        self._redirect_uri = redirect_uri
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        keys = [key.as_dict(private=True, alg="RS256", use="sig") for key in self.keys]
        settings = {"modules": str(_MODULES), "port": self.port, "keys": keys, "redirectUri": self._redirect_uri}
        settings["signedOutUri"] = self._redirect_uri.removesuffix("/callback")
        node = Path(sys.executable).parent / "node"
        self._process = subprocess.Popen(
            [node, _SCRIPT, json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The command `node` of the package starts another process.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line == "ready\n":
                return
        raise AssertionError("".join(said))

    def stop(self) -> None:
        """End it; its sessions and codes are lost."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def token(self, client: str = "jobs", secret: str = "jobs") -> str:
        """Return the access token of a program, for the audience `stepwell-jobs`."""
        form = {"grant_type": "client_credentials", "resource": "https://stepwell.example/api"}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=(client, secret))
        answer.raise_for_status()
        return str(answer.json()["access_token"])


def new_key(name: str) -> RSAKey:
    """Return a key for signatures."""
    return RSAKey.generate_key(2048, {"kid": name})


@contextmanager
def identity_provider(redirect_uri: str) -> Iterator[IdentityProvider]:
    """Run a provider for the block."""
    provider = IdentityProvider(redirect_uri)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()


class User:
    """A user's browser at the provider, which fills in its forms.

    Attributes:
        forms: the number of forms that it has filled in.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.forms = 0
        self.client = httpx.Client(timeout=20)

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def open(self, url: str, until: str) -> str:
        """Follow redirects and forms until an address begins with `until`, which is not opened; return it."""
        answer = self.client.get(url)
        for _ in range(20):
            if answer.is_redirect:
                address = urljoin(str(answer.url), answer.headers["location"])
                if address.startswith(until):
                    return address
                answer = self.client.get(address)
            else:
                answer = self._submit(answer)
        raise AssertionError(f"{answer.url} does not lead to {until}: {answer.text[:500]}")

    def grant_device(self, url: str) -> None:
        """Confirm the code of a device, and sign in."""
        answer = self.client.get(url)
        for _ in range(20):
            if answer.is_redirect:
                answer = self.client.get(urljoin(str(answer.url), answer.headers["location"]))
            elif "Sign-in Success" in answer.text:
                return
            else:
                answer = self._submit(answer)
        raise AssertionError(f"{answer.url}: {answer.text[:500]}")

    def _submit(self, answer: httpx.Response) -> httpx.Response:
        self.forms += 1
        form = _FORM.search(answer.text)
        assert form is not None, f"{answer.status_code} {answer.url}: {answer.text[:1000]}"
        fields: dict[str, Any] = {}
        for tag in _INPUT.findall(answer.text):
            attributes = dict(_ATTRIBUTE.findall(tag))
            if "name" in attributes:
                fields[attributes["name"]] = unescape(attributes.get("value", ""))
        # Of the two buttons of the page that has the sign-out confirmed, the one that signs out.
        fields |= {"logout": "yes"} if "op.logoutForm" in answer.text else {}
        fields |= {name: self.name for name in ("login", "password") if name in fields}
        return self.client.post(urljoin(str(answer.url), unescape(form["action"])), data=fields)
