"""`stepwell query` and `stepwell gateway` with a certificate: HTTPS alone; files that can't be used stop the start."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trustme

from support.servers.command import RunningCommand, start_stepwell
from support.servers.ports import claim_lasting_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.one_dsn]

KEY = "an-administrator-s-key-of-the-settings-0123456789"
SECONDS = 100.0
COMMANDS = ("query", "gateway")


class Authority(NamedTuple):
    """A certificate authority of the tests, and the folder with its file and its certificates."""

    authority: trustme.CA
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, not_after: datetime | None = None) -> dict[str, str]:
        """Return the settings of a service with a new certificate for 127.0.0.1."""
        leaf = self.authority.issue_cert("127.0.0.1", not_after=not_after)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return {"STEPWELL_TLS_CERTFILE": str(certificate), "STEPWELL_TLS_KEYFILE": str(key)}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(trustme.CA(), tmp_path_factory.mktemp("authority"))
    made.authority.cert_pem.write_to_path(made.file)
    return made


def start(command: str, folder: Path, environment: dict[str, str], port: int = 0) -> RunningCommand:
    """Start a service by itself: without brokers, and over an empty engine."""
    settings = {"STEPWELL_ADMIN_KEY": KEY, **environment}
    if command == "query":
        settings["STEPWELL_CLICKHOUSE_DSN"] = f"chdb://{folder / 'engine'}"
    return start_stepwell(command, "--port", str(port), environment=settings, folder=folder)


class Running(NamedTuple):
    """A service, and its port."""

    command: str
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@pytest.fixture(scope="module", params=COMMANDS)
def running(
    request: pytest.FixtureRequest, ours: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    port = claim_lasting_port()
    started = start(request.param, tmp_path_factory.mktemp(request.param), ours.issue(request.param), port)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=12, verify=trust(ours))) as client:
            assert client.get(f"https://127.0.0.1:{port}/healthz", timeout=SECONDS).json() == {"status": "ok"}
        yield Running(request.param, port)
    finally:
        started.process.terminate()
        ended = started.end(SECONDS)
    assert ended.returncode == 0, ended.stderr
    assert KEY not in ended.stdout + ended.stderr


def trust(ours: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ours.file))


def test_requests_over_https_are_answered(running: Running, ours: Authority) -> None:
    with httpx.Client(base_url=running.url, verify=trust(ours), timeout=SECONDS) as client:
        assert client.get("/healthz").headers["strict-transport-security"] == "max-age=31536000"
        path = "/api/v1/whoami" if running.command == "query" else "/api/v1/events"
        method = "GET" if running.command == "query" else "POST"
        assert client.request(method, path).status_code == 401
        answer = client.request(method, path, headers={"authorization": f"Bearer {KEY}"})
        # The gateway refuses an empty body before it needs a broker.
        assert answer.status_code == (200 if running.command == "query" else 400), answer.text


def test_curl_trusts_the_authority_and_nothing_else(running: Running, ours: Authority) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    # Without the settings of this machine, which may name authorities.
    command = [curl, "--silent", "--show-error", "--max-time", str(SECONDS), "--noproxy", "*"]
    url = f"{running.url}/healthz"
    trusted = subprocess.run([*command, "--cacert", ours.file, url], capture_output=True, check=False, env={})
    assert (trusted.returncode, trusted.stdout) == (0, b'{"status":"ok"}'), trusted.stderr
    for more in (["--tls-max", "1.1"], []):
        assert subprocess.run([*command, *more, url], capture_output=True, check=False, env={}).returncode != 0


@pytest.mark.parametrize("sent", [b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x00\x01", b"\x16\x03\x01"])
def test_plain_http_gets_no_answer(running: Running, ours: Authority, sent: bytes) -> None:
    """Neither an answer nor a redirect, which would teach clients to send keys in the clear; HTTPS continues."""
    with closing(socket.create_connection(("127.0.0.1", running.port), SECONDS)) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while part := client.recv(65_536):
            received += part
    assert b"HTTP/" not in received
    assert b"ok" not in received
    with httpx.Client(verify=trust(ours), timeout=SECONDS) as client:
        assert client.get(f"{running.url}/healthz").is_success


def broken(kind: str, ours: Authority, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return settings that can't be used, and texts that the error has."""
    right = ours.issue(kind)
    file = folder / "broken"
    match kind:
        case "missing":
            return {**right, "STEPWELL_TLS_CERTFILE": str(file)}, ["STEPWELL_TLS_CERTFILE", str(file)]
        case "garbage":
            file.write_text("no certificate")
            return {**right, "STEPWELL_TLS_CERTFILE": str(file)}, [str(file)]
        case "other-key":
            other = ours.issue("other")["STEPWELL_TLS_KEYFILE"]
            return {**right, "STEPWELL_TLS_KEYFILE": other}, ["STEPWELL_TLS_KEYFILE", other]
        case "expired":
            return ours.issue("expired", datetime(2020, 1, 1, tzinfo=UTC)), ["expired"]
    return {"STEPWELL_TLS_KEYFILE": right["STEPWELL_TLS_KEYFILE"]}, ["STEPWELL_TLS_CERTFILE"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["missing", "garbage", "other-key", "expired", "key-alone"])
def test_files_that_can_not_be_used_stop_the_start(kind: str, command: str, ours: Authority, tmp_path: Path) -> None:
    """One sentence names the setting or the file, without a traceback; nothing listens."""
    settings, texts = broken(kind, ours, tmp_path)
    ended = start(command, tmp_path / "service", settings).end(SECONDS)
    assert ended.returncode not in {0, -9}, ended.stderr
    assert all(text in ended.stderr.replace("\n", "") for text in texts), ended.stderr
    assert "Traceback" not in ended.stderr
