"""The ClickHouse port with clients that exceed limits, are slow, disconnect, or are web pages."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from stepwell_deploy.clickhouse_server.bounds import BodyBounds, Bounds
from stepwell_deploy.clickhouse_server.compression import frames, unframed
from stepwell_deploy.clickhouse_server.guests import Limits
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_query.slots import SlotLimits
from stepwell_schemas.clickhouse.store import Store
from support.readers.statements import ENDLESS, endless_statements
from support.servers.ingest import until
from support.servers.stack import Stack

pytestmark = pytest.mark.anyio
MIB = 1 << 20
WRITER = ("u", "p")
BOUNDS = Bounds(
    head_bytes=20_000,
    head_seconds=0.5,
    idle_seconds=1.0,
    part_seconds=0.5,
    send_seconds=1.0,
    connections=24,
    connections_per_client=20,
    guest_body=BodyBounds(MIB, MIB),
    guests=SlotLimits(running=3, running_per_client=2, waiting=8, waiting_per_client=6, wait_seconds=5.0),
)


@contextmanager
def serving(stack: Stack, bounds: Bounds) -> Iterator[str]:
    folder = Path(urlsplit(stack.dsn("chdb")).path)
    limits = Limits(seconds=600)
    with ClickHouseHttp(folder, "127.0.0.1", 0, *WRITER, limits, allowed_hosts=["db.example"], bounds=bounds) as port:
        yield f"http://127.0.0.1:{port.port}"


@pytest.fixture
def url(stack: Stack) -> Iterator[str]:
    with serving(stack, BOUNDS) as address:
        yield address


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def answer_to(url: str, *sent: bytes) -> bytes:
    """Return everything that the port sends until it closes the connection."""
    with connected(url) as client:
        for part in sent:
            client.sendall(part)
        received = b""
        try:
            while part := client.recv(65_536):
                received += part
        except ConnectionResetError:
            # The port closed the connection while a request was in transit.
            pass
        return received


def error_code(answer: httpx.Response) -> str:
    return str(answer.headers.get("X-ClickHouse-Exception-Code", ""))


def test_browsers_find_nothing_to_use(url: str) -> None:
    for answer in (
        httpx.get(f"{url}/ping"),
        httpx.get(url, params={"query": "SELECT '<script>' FORMAT RawBLOB"}),
        httpx.get(url, params={"query": "SELEC '<script>'"}),
        httpx.get(f"{url}/play"),
        httpx.put(url),
        httpx.get(url, auth=("u", "wrong")),
    ):
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/ping"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}, 403),
        ({"Referer": "http://evil.example/"}, 403),
        ({"Host": "db.example:8123"}, 200),
        ({"Host": "localhost"}, 200),
    ],
)
def test_other_pages_get_nothing(url: str, path: str, headers: dict[str, str], status: int) -> None:
    assert httpx.get(f"{url}{path}", params={"query": "SELECT 1"}, headers=headers).status_code == status
    assert httpx.post(f"{url}/", content="SELECT 1", headers=headers).status_code == status


@pytest.mark.parametrize("name", ["default_format", "query_id", "database", "session_timezone", "format_csv_delimiter"])
@pytest.mark.parametrize("breaks", ["\r\nX-Injected: 1", "\nX-Injected: 1", "\r\n\r\n<script>", "\0", "\x7f"])
def test_no_field_becomes_a_header(url: str, name: str, breaks: str) -> None:
    answer = httpx.get(url, params={"query": "SELECT 1", name: f"CSV{breaks}"})
    assert answer.is_client_error
    assert error_code(answer)
    assert "x-injected" not in answer.headers


def test_bodies_are_bounded_before_and_after_they_are_unpacked(url: str) -> None:
    bomb = gzip.compress(b"\0" * (64 * MIB))
    assert len(bomb) < MIB
    for body, headers, fields in (
        (bomb, {"Content-Encoding": "gzip"}, ""),
        (b" " * (MIB + 1), {}, ""),
        (b"".join(frames(b"\0" * MIB)) * 3, {}, "?decompress=1"),
    ):
        answer = httpx.post(f"{url}/{fields}", content=body, headers=headers)
        assert (answer.status_code, error_code(answer)) == (413, "1002")
    chunks = (b" " * 65_536 for _ in range(17))
    assert b" 413 " in answer_to(
        url,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks),
    )


def test_a_password_is_asked_for_before_the_body(url: str) -> None:
    # The body never arrives: an answer shows that the port does not wait for it.
    head = b"POST /?user=u&password=wrong HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
    assert answer_to(url, head).startswith(b"HTTP/1.1 401 ")


def test_slow_and_long_requests_end(url: str) -> None:
    started = time.monotonic()
    assert b" 408 " in answer_to(url, b"")
    assert b" 408 " in answer_to(url, b"POST / HTTP/1.1\r\nHost: loc")
    assert b" 408 " in answer_to(url, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nSEL")
    # An idle connection.
    assert answer_to(url, b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith(b"Ok.\n")
    assert time.monotonic() - started < 15
    long = b"GET /?query=" + b"a" * 30_000
    assert b" 431 " in answer_to(url, long)
    assert b" 431 " in answer_to(url, long + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 431 " in answer_to(url, b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 5_000)
    fields = "&".join(f"a{number}=1" for number in range(1_500))
    assert httpx.get(f"{url}/?{fields}").status_code == 400


def test_connections_are_bounded(url: str) -> None:
    head = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    held = [connected(url) for _ in range(20)]
    try:
        assert b" 503 " in answer_to(url, head)
    finally:
        for client in held:
            client.close()
    deadline = time.monotonic() + 20
    while b" 200 " not in answer_to(url, head):
        assert time.monotonic() < deadline


async def test_statements_of_clients_that_left_hold_up_nobody(url: str, chdb_store: Store) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(lambda: client.post(url, content=ENDLESS))
            await until(lambda: endless_statements(chdb_store), 2)
            # One address has two of three slots; another address has the third.
            other = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
            async with httpx.AsyncClient(transport=other, timeout=60) as second:
                assert (await second.post(url, content="SELECT 1")).text == "1\n"
            group.cancel_scope.cancel()
        # The port notices the disconnects after a moment.
        deadline = time.monotonic() + 20
        while (await client.post(url, content="SELECT 1")).status_code != 200:
            assert time.monotonic() < deadline
        await until(lambda: endless_statements(chdb_store), 0)


async def test_a_full_queue_is_said_to_be_full(stack: Stack, chdb_store: Store) -> None:
    refused: list[httpx.Response] = []
    limits = httpx.Limits(max_connections=19)
    # A busy machine takes its time for twelve requests.
    guests = replace(BOUNDS.guests, wait_seconds=2.0)
    bounds = replace(BOUNDS, head_seconds=20.0, part_seconds=20.0, guests=guests)
    with serving(stack, bounds) as url:
        async with httpx.AsyncClient(timeout=60, limits=limits) as client, anyio.create_task_group() as group:

            async def ask() -> None:
                refused.append(await client.post(url, content=ENDLESS))

            for _ in range(12):
                group.start_soon(ask)
            await until(lambda: len(refused) >= 4, True)
            assert {(answer.status_code, error_code(answer)) for answer in refused} == {(503, "202")}
            # Waiting requests are refused after a time too.
            await until(lambda: len(refused), 10)
            assert endless_statements(chdb_store) == 2
            group.cancel_scope.cancel()
        await until(lambda: endless_statements(chdb_store), 0)


async def test_a_client_that_reads_nothing_is_left(stack: Stack, chdb_store: Store) -> None:
    bounds = replace(BOUNDS, send_seconds=0.3)
    endless = b"SELECT repeat('x', 1000), sipHash64(number) FROM numbers(1000000000000) FORMAT TSV"
    with serving(stack, bounds) as url, connected(url) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(endless), endless))
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        await until(lambda: endless_statements(chdb_store), 0)
        async with httpx.AsyncClient(timeout=60) as other:
            assert (await other.post(url, content="SELECT 1")).text == "1\n"


async def test_who_leaves_in_the_middle_ends_the_statement(url: str, chdb_store: Store) -> None:
    endless = "SELECT sipHash64(number) FROM numbers(1000000000000) FORMAT TSV"
    async with httpx.AsyncClient(timeout=60) as client:
        async with client.stream("POST", url, content=endless) as answer:
            parts = answer.aiter_bytes()  # Its end would end the connection.
            await anext(parts)
            assert endless_statements(chdb_store) == 1
        await until(lambda: endless_statements(chdb_store), 0)


@pytest.mark.parametrize(
    ("clause", "parameters"), [(" SETTINGS log_comment = 'own'", {}), ("", {"log_comment": "own"})]
)
async def test_a_statement_with_a_comment_of_its_own_is_ended_too(
    url: str, chdb_store: Store, clause: str, parameters: dict[str, str]
) -> None:
    async with httpx.AsyncClient(timeout=60, auth=WRITER) as client:
        asked = asyncio.create_task(client.post(url, content=ENDLESS + clause, params=parameters))
        await until(lambda: endless_statements(chdb_store), 1)
        asked.cancel()
        await until(lambda: endless_statements(chdb_store), 0)


@pytest.mark.parametrize("clause", ["", " SETTINGS log_comment = 'own'"])
def test_stopping_does_not_wait_for_statements(stack: Stack, chdb_store: Store, clause: str) -> None:
    async def ask_and_stop() -> float:
        with serving(stack, BOUNDS) as url:
            async with httpx.AsyncClient(timeout=60, auth=WRITER) as client:
                asked = asyncio.create_task(client.post(url, content=ENDLESS + clause))
                await until(lambda: endless_statements(chdb_store), 1)
                asked.add_done_callback(lambda task: task.exception())
                started = time.monotonic()
        return time.monotonic() - started

    assert asyncio.run(ask_and_stop()) < 20
    assert endless_statements(chdb_store) == 0


def test_frames_are_read_and_written(url: str) -> None:
    body = b"".join(frames(b"SELECT 'a' AS text"))
    answer = httpx.post(f"{url}/?decompress=1&compress=1", content=body)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert unframed(answer.content, MIB) == b"a\n"
    broken = body[:-1] + bytes([body[-1] ^ 1])
    assert error_code(httpx.post(f"{url}/?decompress=1", content=broken)) == "27"
