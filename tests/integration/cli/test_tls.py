"""`stepwell up` with a certificate: the SDK, `Api`, the commands and the ClickHouse port work over HTTPS."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trustme

from support.servers.command import run_stepwell
from support.servers.scripts import start_command

pytestmark = pytest.mark.timeout(240)

KEY = "an-administrator-s-key-of-the-settings-0123456789"
_SCRIPT = """
import stepwell
run = stepwell.init(project="p", id="r")
run.log({"loss": 1.5})
run.finish()
assert stepwell.Api().run("me/p/r").summary["loss"] == 1.5
"""
_SECONDS = 100.0


class Secure(NamedTuple):
    """A running `up`: its addresses, and the environment of its clients."""

    service: str
    clickhouse: str
    environment: dict[str, str]
    certificate: Path
    key: Path
    authority: trustme.CA


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    ca_file, certificate, key = folder / "ca.pem", folder / "service.crt", folder / "service.key"
    authority.cert_pem.write_to_path(ca_file)
    write(authority, certificate, key, "127.0.0.1")
    environment = {**os.environ, "STEPWELL_ADMIN_KEY": KEY, "STEPWELL_CLICKHOUSE_PORT": "auto"}
    environment |= {"STEPWELL_TLS_CERTFILE": str(certificate), "STEPWELL_TLS_KEYFILE": str(key)}
    with start_command(["up", "--dir", str(folder / "server"), "--port", "0"], environment) as up:
        assert up.stdout is not None
        assert up.stderr is not None
        line = up.stdout.readline()
        assert line.startswith("ready https://127.0.0.1:"), line + up.stderr.read()
        notes = next(text for text in up.stderr if text.startswith("kafka "))
        clients = {
            "STEPWELL_BASE_URL": line.removeprefix("ready ").strip(),
            "STEPWELL_CA_FILE": str(ca_file),
            "STEPWELL_API_KEY": KEY,
            "STEPWELL_ENTITY": "me",
            "STEPWELL_DIR": str(folder / "journals"),
        }
        clickhouse = notes.partition("clickhouse ")[2].split()[0]
        try:
            yield Secure(clients["STEPWELL_BASE_URL"], clickhouse, clients, certificate, key, authority)
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=_SECONDS)
    assert up.returncode == 0


def write(authority: trustme.CA, certificate: Path, key: Path, name: str) -> None:
    leaf = authority.issue_cert(name)
    leaf.private_key_pem.write_to_path(key)
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))


@pytest.mark.parametrize("transport", ["kafka", "http"])
def test_the_sdk_and_api_work_over_https(secure: Secure, tmp_path: Path, transport: str) -> None:
    environment = {**os.environ, **secure.environment, "STEPWELL_TRANSPORT": transport}
    script = _SCRIPT.replace('"r"', f'"{transport}"').replace("me/p/r", f"me/p/{transport}")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_work_over_https(secure: Secure) -> None:
    done = run_stepwell("status", "--json", environment=secure.environment)
    print(done.stdout)
    assert json.loads(done.stdout)["ready"] is True, done.stdout


def test_a_client_that_does_not_trust_the_certificate_says_what_to_do(secure: Secure) -> None:
    done = run_stepwell("status", environment=secure.environment | {"STEPWELL_CA_FILE": ""}, code=None)
    assert done.returncode != 0
    assert b"STEPWELL_CA_FILE" in done.stderr


def test_ssl_cert_file_is_trusted_too(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", secure.environment["STEPWELL_CA_FILE"])
    run_stepwell("status", environment=secure.environment | {"STEPWELL_CA_FILE": ""})


def test_the_clickhouse_port_and_the_page_are_served_over_https(secure: Secure) -> None:
    assert secure.clickhouse.startswith("https://")
    trust = ssl.create_default_context(cafile=secure.environment["STEPWELL_CA_FILE"])
    with httpx.Client(verify=trust) as client:
        assert client.get(secure.clickhouse + "/ping").text == "Ok.\n"
        page = client.get(secure.service + "/signin")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        answer = client.post(secure.service + "/signin", data={"key": KEY})
        assert answer.headers["set-cookie"].startswith("__Host-stepwell-session=")
        with pytest.raises(httpx.TransportError):
            client.get(secure.service.replace("https", "http") + "/healthz")
    with pytest.raises(httpx.ConnectError):
        httpx.get(secure.service)
