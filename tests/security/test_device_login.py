"""`stepwell login` at a real identity provider: a code that is confirmed in a browser, and tokens that are renewed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from stepwell import provider_tokens
from stepwell.credentials import find_key, keep_tokens
from stepwell.errors import AuthenticationError
from stepwell.provider_tokens import DeviceCode, DeviceSignIn, is_due, read_expiry, renew, to_entry
from stepwell_schemas.clickhouse.store import Store
from support.servers.command import run_stepwell, start_stepwell
from support.servers.identity_provider import User, identity_provider
from support.servers.sdk import serving

_SECONDS = 60.0


def test_a_user_signs_in_from_the_command_line_and_stays_signed_in(chdb_store: Store, tmp_path: Path) -> None:
    with identity_provider("http://localhost/signin/callback") as provider:
        settings: dict[str, Any] = {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "cli",
            "oidc_scopes": "openid profile groups",
            "oidc_groups": {"ml-team": ["write:ml"]},
        }
        with serving(chdb_store, **settings) as url:
            file = tmp_path / "credentials.json"
            environment = {"STEPWELL_BASE_URL": url, "STEPWELL_CREDENTIALS_FILE": str(file)}
            login = start_stepwell("login", "--sso", environment=environment, folder=tmp_path / "login")
            with User("alice") as alice:
                alice.grant_device(wait_for(login.err, r"open (\S+) and confirm the code \S+"))
            done = login.end(_SECONDS)
            assert done.returncode == 0, done.stderr
            assert "signed in at" in done.stdout
            assert "alice@example.org (write:ml)" in done.stdout
            assert file.stat().st_mode & 0o777 == 0o600
            (entry,) = json.loads(file.read_text()).values()
            assert entry["token"] not in done.stdout + done.stderr
            shown = json.loads(run_stepwell("whoami", "--json", environment=environment).stdout)
            assert (shown["name"], shown["method"]) == ("alice@example.org", "oidc")
            # An expired token is renewed, and the new one kept.
            keep_tokens(url, entry | {"token": "ey.expired.x", "expires": 1}, file)
            assert json.loads(run_stepwell("whoami", "--json", environment=environment).stdout)["method"] == "oidc"
            (renewed,) = json.loads(file.read_text()).values()
            assert renewed["expires"] > time.time()


def wait_for(file: Path, pattern: str) -> str:
    """Wait until a file has a text; return its first group."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, file.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(file.read_text())


class Answers:
    """A provider's token endpoint that gives prepared answers, and the times at which it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._answers = answers
        self.sign_in = DeviceSignIn("https://id", "cli", "openid", self.sleep, lambda: self.now)
        self.sign_in._endpoints = {"token_endpoint": "https://id/token"}
        monkeypatch.setattr(provider_tokens, "_post", self.post)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def post(self, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append(self.now)
        answer = self._answers.pop(0) if self._answers else {"error": "authorization_pending"}
        if isinstance(answer, Exception):
            raise answer
        return (400 if "error" in answer else 200), answer

    def wait(self) -> dict[str, Any]:
        return self.sign_in.wait(DeviceCode("", "", "", "d", 5.0, 60.0))


def test_the_provider_decides_how_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pending = {"error": "authorization_pending"}
    away = AuthenticationError("away")
    answers = Answers(monkeypatch, [pending, {"error": "slow_down"}, pending, away, {"id_token": "ey.a.b"}])
    assert answers.wait()["token"] == "ey.a.b"
    assert answers.asked == [5, 10, 20, 30, 50]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "access_denied"}, "refused in the browser"),
        ({"error": "expired_token"}, "not confirmed in time"),
        ({"error": "invalid_grant", "error_description": "no\x1b[31m"}, r"refuses the sign-in: no\[31m"),
        ({}, "no token"),
    ],
    ids=str,
)
def test_a_sign_in_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, answer: dict[str, str], words: str) -> None:
    with pytest.raises(AuthenticationError, match=words):
        Answers(monkeypatch, [answer]).wait()


def test_a_code_that_is_never_confirmed_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch, [])
    with pytest.raises(AuthenticationError, match="not confirmed in time"):
        answers.wait()
    assert answers.now <= 60


@pytest.mark.parametrize("token", ["", "a.b", "a.!.c", "ey.e30.x"])
def test_a_token_that_names_no_end_counts_as_expired(token: str) -> None:
    assert read_expiry(token) == 0
    assert is_due(to_entry({"id_token": token or "x"}, "https://id/token", "cli"))


def test_a_token_that_can_not_be_renewed_is_sent_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "stepwell" / "credentials.json"
    entry = {"token": "ey.old.x", "expires": 1, "refresh_token": "", "token_endpoint": "", "client_id": "cli"}
    assert renew(entry) is None
    keep_tokens("http://host", entry, file)
    assert find_key("http://host", file) == "ey.old.x"
