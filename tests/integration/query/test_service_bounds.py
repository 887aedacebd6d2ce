"""A real server under clients that are slow, many, or send more than they may: over raw sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import pytest

from stepwell_query.api.app import create_app
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.connections import HEAD_BYTES, server_config
from support.servers.sdk import eventually

HEAD_SECONDS: Final = 0.5
CONNECTIONS: Final = 8
STREAMS: Final = 4
STREAMS_PER_CLIENT: Final = 2
BODY_BYTES: Final = 100_000
DEADLINE_SECONDS: Final = 10
SILENT_SECONDS: Final = 3
OWN: Final = "host: localhost\r\n"
EVENTS: Final = "/api/v1/projects/me/digits/events"


@pytest.fixture
def port(chdb_store: Store) -> Iterator[int]:
    settings = QuerySettings(
        query_max_connections=CONNECTIONS,
        query_max_streams=STREAMS,
        query_max_streams_per_client=STREAMS_PER_CLIENT,
        query_max_body_bytes=BODY_BYTES,
    )
    app = create_app(settings, chdb_store)
    server = Server(app, server_config(app, CONNECTIONS, CONNECTIONS_CLOSED, head_seconds=HEAD_SECONDS))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, True)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)


@contextmanager
def connected(port: int, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS, (source, 0)) as client:
        yield client


def answer(client: socket.socket) -> tuple[int, Any]:
    """Read one answer, delimited by its length or by the end of the connection; return status and document."""
    content = b""
    try:
        while b"\r\n\r\n" not in content:
            part = client.recv(65_536)
            if not part:
                return 0, None
            content += part
        head, _, body = content.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += client.recv(65_536)
    except ConnectionError:
        return 0, None
    document = json.loads(body) if b"json" in head else body
    return int(head.split()[1]), document


def asked(port: int, request: str, body: bytes = b"", source: str = "127.0.0.1") -> tuple[int, Any]:
    with connected(port, source) as client:
        # The service may answer and close before it has taken all of it.
        with suppress(ConnectionError):
            client.sendall(request.encode("latin-1") + body)
        return answer(client)


def alive(port: int) -> bool:
    return asked(port, f"GET /healthz HTTP/1.1\r\n{OWN}\r\n")[0] == 200


def dribbled(client: socket.socket, following: Callable[[int], bytes]) -> float:
    """Send a byte or so at a time until the service closes the connection; return the seconds that it took."""
    began = time.monotonic()
    client.settimeout(HEAD_SECONDS / 10)
    for number in range(1_000):
        try:
            client.sendall(following(number))
            if not client.recv(65_536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


def test_slow_heads_keep_no_place(port: int) -> None:
    first = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "
    with connected(port) as client:
        assert dribbled(client, lambda number: first[number : number + 1] or b"y") < DEADLINE_SECONDS
    # Without a byte, and after an answer on the same connection.
    with connected(port) as client:
        assert answer(client)[1]["type"] == "urn:stepwell:problem:request-timeout"
    with connected(port) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\n{OWN}\r\n".encode())
        assert answer(client)[0] == 200
        assert dribbled(client, lambda number: first[number : number + 1] or b"y") < DEADLINE_SECONDS
    assert alive(port)


def test_idle_connections_give_way_to_a_request(port: int) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(CONNECTIONS * 3)]
        assert alive(port)
        for client in idle:
            client.sendall(b"G")
        assert alive(port)


def test_what_a_request_may_send_is_bounded(port: int) -> None:
    long = "x" * (HEAD_BYTES + 1)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [b"[" * 50_000] * 4) + b"0\r\n\r\n"
    post = f"POST /api/v1/sql HTTP/1.1\r\n{OWN}content-type: application/json\r\n"
    deep = b'{"sql": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"
    cases: list[tuple[str, bytes, set[int]]] = [
        (f"GET /{long} HTTP/1.1\r\n{OWN}\r\n", b"", {431}),
        (f"GET / HTTP/1.1\r\n{OWN}x: {long}\r\n\r\n", b"", {431}),
        (f"GET / HTTP/1.1\r\n{OWN}" + "x: y\r\n" * HEAD_BYTES + "\r\n", b"", {431}),
        (f"{post}content-length: {200 * 2**20}\r\n\r\n", b"x" * 1_000_000, {413}),
        (f"{post}transfer-encoding: chunked\r\n\r\n", chunks, {413}),
        (f"{post}content-length: {'9' * 30}\r\n\r\n", b"", {400, 413}),
        (f"{post}content-length: -1\r\n\r\n", b"", {400}),
        (f"{post}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n", b"\x1f\x8b", {415}),
        (f"{post}content-length: {len(deep)}\r\n\r\n", deep, {400, 422}),
        ("GET / HTTP/1.1\r\n\r\n", b"", {400}),
        ("GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", b"", {421}),
        ("\x16\x03\x01\x02\x00\x01\x00\x01", b"", {400}),
        (f"GET /api/v1/runs/%ff/%00/%zz HTTP/1.1\r\n{OWN}\r\n", b"", {404, 422}),
        (f"GET /api/v1/runs/\xff/a/b HTTP/1.1\r\n{OWN}\r\n", b"", {400, 404, 422}),
        (f"GET /api/v1/projects/a/b/runs?filter=%ff%00&x=%zz HTTP/1.1\r\n{OWN}\r\n", b"", {422}),
        (f"OPTIONS * HTTP/1.1\r\n{OWN}\r\n", b"", {400, 404, 405}),
    ]
    for request, body, statuses in cases:
        began = time.monotonic()
        status, document = asked(port, request, body)
        assert status in statuses, (request[:100], status, document)
        assert document["type"].startswith("urn:stepwell:problem:"), request[:100]
        assert time.monotonic() - began < DEADLINE_SECONDS
    assert alive(port)


def test_pipelined_requests_are_answered_in_turn(port: int) -> None:
    with connected(port) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\n{OWN}\r\n".encode() * 200)
        content = b""
        while content.count(b"HTTP/1.1 200") < 200:
            part = client.recv(65_536)
            assert part
            content += part


def test_requests_that_wait_for_answers_are_bounded(port: int) -> None:
    small = f"GET /healthz HTTP/1.1\r\n{OWN}\r\n".encode() * 20_000
    large = f"GET /healthz HTTP/1.1\r\n{OWN}x: {'y' * 60_000}\r\n\r\n".encode() * 16
    # The end of a connection with unread requests may overtake its last answers.
    for content, least, most in ((small, 1, 10_000), (large, 16, 16)):
        with connected(port) as client:
            answers = _answers_to(client, content)
            assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 OK")
            assert least <= answers.count(b"HTTP/1.1 ") <= most
    assert alive(port)


def test_a_body_after_waiting_requests_is_read(port: int) -> None:
    head = f"POST /api/v1/sql HTTP/1.1\r\n{OWN}content-type: application/json\r\ncontent-length: 300\r\n\r\n"
    waiting = f"GET /healthz HTTP/1.1\r\n{OWN}\r\n".encode() * 20 + head.encode()
    with connected(port) as client:
        client.sendall(waiting + b"{")
        time.sleep(HEAD_SECONDS / 10)
        client.sendall(b'"sql": "SELECT 1"}'.ljust(299))
        client.settimeout(SILENT_SECONDS)
        answers = _read_all(client)
    assert answers.count(b"HTTP/1.1 200") == 21, answers[-1_000:]


def _answers_to(client: socket.socket, content: bytes) -> bytes:
    """Send requests from a thread, and return all answers until the service closes, or is silent."""
    sender = threading.Thread(target=lambda: _send(client, content))
    sender.start()
    client.settimeout(SILENT_SECONDS)
    try:
        return _read_all(client)
    finally:
        sender.join()


def _send(client: socket.socket, content: bytes) -> None:
    with suppress(OSError):
        client.sendall(content)


def _read_all(client: socket.socket) -> bytes:
    content = b""
    with suppress(OSError):
        while part := client.recv(65_536):
            content += part
    return content


def test_streams_of_events_are_bounded(port: int) -> None:
    stream = f"GET {EVENTS} HTTP/1.1\r\n{OWN}\r\n"
    with ExitStack() as stack:
        for source in ("127.0.0.1", "127.0.0.2"):
            for _ in range(STREAMS_PER_CLIENT):
                client = stack.enter_context(connected(port, source))
                client.sendall(stream.encode())
                assert b" 200 " in client.recv(65_536)
            status, document = asked(port, stream, source=source)
            assert (status, document["type"]) == (429, "urn:stepwell:problem:too-many-streams")
        assert asked(port, stream, source="127.0.0.3")[0] == 503
        assert alive(port)
    # Their places are free again when their clients have left.
    eventually(lambda: asked(port, stream)[0], 200)
