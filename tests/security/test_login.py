"""Keys on the user's side: `stepwell login`, `stepwell keys`, the SDK's `login()`, and the file that keeps keys."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.credentials import find_key, keep_key, service_name
from stepwell.errors import AuthenticationError
from stepwell.settings import ProducerSettings
from support.servers.command import run_stepwell

from .conftest import ADMIN_KEY, Secured


@pytest.fixture(scope="module")
def url(secured: Secured) -> Iterator[str]:
    """The address of the service."""
    with secured.serve() as address:
        yield address


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Path:
    """The file of keys of this test's user, who uses the service."""
    path = tmp_path / "config" / "stepwell" / "credentials.json"
    monkeypatch.setenv("STEPWELL_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("STEPWELL_BASE_URL", url)
    monkeypatch.delenv("STEPWELL_API_KEY", raising=False)
    return path


def command(*arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """Run a command with the settings of this process; return its output and errors."""
    own = {name: value for name, value in os.environ.items() if name.startswith("STEPWELL_")}
    done = run_stepwell(*arguments, environment=own | environment, code=code)
    return done.stdout.decode(), done.stderr.decode()


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let the next command read a text from standard input, which is no terminal."""
    monkeypatch.setattr("stepwell_deploy.cli.commands.login._standard_input", lambda: io.StringIO(text))


def mode(path: Path) -> int:
    """Return the permissions of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def test_login_keeps_a_verified_key_for_the_user_alone(
    secured: Secured, url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has mode 0600 in a folder with 0700; commands, `Api` and the SDK's settings find the key."""
    assert "stepwell login" in command("whoami", code=1)[1]
    type_in(monkeypatch, secured.texts["write:alpha/one"] + "\n")
    out, err = command("login")
    assert "write:alpha/one" in out
    assert secured.texts["write:alpha/one"] not in out + err
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert json.loads(command("whoami", "--json")[0])["scopes"] == ["write:alpha/one"]
    assert ProducerSettings().api_key.get_secret_value() == secured.texts["write:alpha/one"]
    assert [project.name for project in stepwell.Api().projects("alpha")] == ["one"]
    assert command("whoami", STEPWELL_API_KEY=ADMIN_KEY)[0].startswith("admin")
    assert "removed" in command("logout")[0]
    assert find_key(url) == ""


@pytest.mark.parametrize("key", ["unknown", "revoked", "expired", "garbage"])
def test_login_keeps_no_key_that_the_service_refuses(
    secured: Secured, file: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """One sentence with the remedy, and nothing is written."""
    type_in(monkeypatch, secured.texts[key])
    out, err = command("login", code=1)
    assert "refuses the key" in err
    assert len(err.splitlines()) == 1
    assert not file.exists()
    assert secured.texts[key] == "x" or secured.texts[key] not in out + err


def test_keys_of_the_command_line(secured: Secured, file: Path, url: str) -> None:
    """Create, list and revoke, for people and programs; the text is alone on standard output."""
    keep_key(url, ADMIN_KEY)
    options = ("--scope", "read:alpha", "--name", "for ann", "--owner", "ann", "--expires", "9d")
    out, err = command("keys", "create", *options)
    assert out.strip().startswith("stepwell-")
    assert out.strip() not in err
    assert "read:alpha" in err
    created = json.loads(command("keys", "create", "--scope", "write:beta/one", "--scope", "read", "--json")[0])
    assert (created["scopes"], created["owner"]) == (["write:beta/one", "read:*"], "admin")
    assert "for ann" in command("keys", "list")[0]
    listed = json.loads(command("keys", "list", "--json")[0])
    assert {key["state"] for key in listed} == {"valid"}
    assert f"revoked {created['key_id']}" in command("keys", "revoke", created["key_id"])[0]
    everything = {key["key_id"]: key["state"] for key in json.loads(command("keys", "list", "--all", "--json")[0])}
    assert everything[created["key_id"]] == "revoked"
    assert "must begin with one of" in command("keys", "create", "--scope", "all", code=1)[1]
    assert "no key" in command("keys", "revoke", "none", code=1)[1]


def test_what_a_key_may_not_do_is_one_sentence(secured: Secured, file: Path, url: str) -> None:
    """Commands say which scope is missing; without a key, how to get one."""
    keep_key(url, secured.texts["read:alpha"])
    for arguments in (("list",), ("create", "--scope", "read:alpha"), ("revoke", "0123456789")):
        assert "does not have the scope admin" in command("keys", *arguments, code=1)[1]
    assert "there is no 'beta/one' that this key may read" in command("runs", "beta/one", code=1)[1]
    file.unlink()
    assert "stepwell login" in command("runs", "alpha/one", code=1)[1]


def test_status_needs_no_scope_over_everything(secured: Secured, file: Path, url: str) -> None:
    """A key of one project sees the parts; the metrics of the process are for keys that read everything."""
    keep_key(url, secured.texts["read:alpha/one"])
    report = json.loads(command("status", "--json", code=0)[0])
    assert (report["ready"], report["metrics"]) == (True, {})
    keep_key(url, secured.texts["read:*"])
    assert json.loads(command("status", "--json", code=0)[0])["metrics"]


def test_login_of_the_sdk(secured: Secured, file: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verified key is kept, and used by this process and those that it starts; a refused one is reported."""
    notices: list[str] = []
    monkeypatch.setattr("stepwell.sign_in.notify", notices.append)
    monkeypatch.setenv("STEPWELL_API_KEY", "")
    assert not stepwell.login()
    assert "stepwell login" in notices[0]
    assert not stepwell.login(key=secured.texts["revoked"])
    assert not file.exists()
    with pytest.raises(AuthenticationError, match="refuses the key"):
        stepwell.login(key=secured.texts["revoked"], verify=True)
    with pytest.raises(AuthenticationError, match="ASCII"):
        stepwell.login(key="a b")
    assert stepwell.login(key=secured.texts["write:alpha"], relogin=True, anonymous="never", force=True)
    assert (os.environ["STEPWELL_API_KEY"], find_key(url)) == (secured.texts["write:alpha"],) * 2
    assert stepwell.login()
    assert not any(secured.texts["revoked"] in notice for notice in notices)


def test_login_of_a_service_that_is_away(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is kept all the same, since a training must start; verifying raises."""
    monkeypatch.setenv("STEPWELL_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STEPWELL_API_KEY", "")
    assert stepwell.login(key="stepwell-any-key")
    assert find_key("http://127.0.0.1:9") == "stepwell-any-key"
    with pytest.raises(AuthenticationError, match="not verified"):
        stepwell.login(verify=True)


def test_a_key_is_sent_to_its_own_service_alone(secured: Secured, file: Path, url: str) -> None:
    """Another URL gets no key, whatever is set by the file; spellings of one URL are one service."""
    keep_key(url, "one")
    assert ProducerSettings(base_url=f"{url}/").api_key.get_secret_value() == "one"
    for other in ("http://127.0.0.1:1", url.replace("http", "https"), f"{url}0"):
        assert ProducerSettings(base_url=other).api_key.get_secret_value() == ""
        assert "Authorization" not in stepwell.Api(base_url=other)._headers
    assert service_name("HTTPS://Host.Example:443/") == "https://host.example"
    assert service_name("http://[::1]:80/prefix/") == "http://[::1]/prefix"


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o660, 0o622])
def test_a_file_that_others_may_open_is_not_used(
    file: Path, url: str, permissions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notice names the remedy, once; it must not stop a training."""
    keep_key(url, "one")
    file.chmod(permissions)
    notices: list[str] = []
    monkeypatch.setattr("stepwell.credentials.notify", notices.append)
    for _ in range(3):
        assert ProducerSettings().api_key.get_secret_value() == ""
    assert len(notices) == 1
    assert "chmod 600" in notices[0]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"http://x": 1}', "\ud83d"])
def test_a_damaged_file_never_stops_a_training(file: Path, url: str, content: str) -> None:
    """Whatever is in it, there is no key; `login` replaces it only if it is one of ours."""
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    file.chmod(0o600)
    assert find_key(url) == ""


def test_a_replaced_file_is_complete_for_readers(file: Path, url: str) -> None:
    """Other services' keys stay, and no temporary file is left."""
    keep_key("http://one", "1")
    keep_key("http://two", "2")
    keep_key("http://one", "3")
    assert (find_key("http://one"), find_key("http://two")) == ("3", "2")
    assert list(file.parent.iterdir()) == [file]


def test_bootstrap_creates_the_first_key_where_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the folder of a stopped `up`; a second one needs `--force`, and a held folder is explained."""
    from stepwell_deploy.local.data_dir import locked_folder

    with locked_folder(tmp_path):
        error = command("keys", "bootstrap", "--dir", str(tmp_path), code=1)[1]
    assert "STEPWELL_ADMIN_KEY" in error


def test_bootstrap_at_a_dsn(stack: Any, database: str) -> None:
    """Through the DSN of a database; the key is an administrator's."""
    settings = {"STEPWELL_CLICKHOUSE_DSN": stack.dsn("chdb"), "STEPWELL_CLICKHOUSE_DATABASE": database}
    first = json.loads(command("keys", "bootstrap", "--json", **settings)[0])
    assert first["scopes"] == ["admin:*"]
    assert first["key_id"] in command("keys", "bootstrap", code=1, **settings)[1]
    assert json.loads(command("keys", "bootstrap", "--force", "--json", **settings)[0])["key_id"] != first["key_id"]
