"""ClickHouse's HTTP protocol over the embedded engine, so that other processes and tools reach one machine's tables.

Speaks what clickhouse-connect, curl and BI tools use: the statement in `query=` or the body, `param_x` parameters,
settings in the URL, inserts of any format in the body, Basic or X-ClickHouse-User credentials, compressed bodies,
and errors with their code in a header. Guests (no user, or `default` without a password) read within limits; the
configured user writes. Formats whose blocks can be joined are sent block by block; an answer in another one is held in
memory before it is sent.
"""

from __future__ import annotations

import hmac
import json
import socket
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, urlsplit

import cramjam

from stepwell_deploy.clickhouse_server.access import Limits
from stepwell_deploy.clickhouse_server.compression import decompressed, frames
from stepwell_deploy.clickhouse_server.execute import Answer, run
from stepwell_deploy.clickhouse_server.request import Request, StatementError, form_fields
from stepwell_deploy.ports import claim_port
from stepwell_schemas.clickhouse.store import connect

# Many requests may bring a whole insert each; beyond this a body is a mistake.
_MAX_BODY_BYTES: Final = 1 << 30
_AUTHENTICATION_CODE: Final = 516
_STATUS: Final = {60: 404, 81: 404, 62: 400, 47: 400, 164: 403, 497: 403, _AUTHENTICATION_CODE: 401}
_GUESTS: Final = frozenset({"", "default"})


class ClickHouseHttp:
    """Serves an embedded engine's folder on a port, from threads of this process, which hosts the engine.

    Args:
        folder: the engine's folder; the process may have open stores on it.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one, see `port` after `start`.
        user: who may write.
        password: the password of `user`.
        limits: what one statement of a guest may take.
    """

    def __init__(
        self, folder: Path, host: str, port: int, user: str, password: str, limits: Limits | None = None
    ) -> None:
        self.host = host
        self.port = port
        self._folder = folder
        self._credentials = (user, password)
        self._limits = limits or Limits()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """The DSN of the writing user, once started."""
        user, password = (quote(part, safe="") for part in self._credentials)
        return f"http://{user}:{password}@{self.host}:{self.port}"

    def start(self) -> None:
        """Listen and serve.

        Raises:
            PortInUseError: when another program has the port.
            StoreInUseError: when another process has the folder.
        """
        if self.port:
            claim_port(self.host, self.port, "set STEPWELL_CLICKHOUSE_PORT to another, or to 0 for a free one")
        self._server = _Server((self.host, self.port), self._folder, self._credentials, self._limits)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="clickhouse-http")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let go of the engine. Idempotent."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    """The listening socket, and a handle that keeps the engine up between requests."""

    daemon_threads = True
    # A client keeps its connection open for as long as it likes; stopping must not wait for that.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], folder: Path, credentials: tuple[str, str], limits: Limits) -> None:
        super().__init__(address, _Handler)
        self.limits = limits
        self.folder = folder
        self.credentials = credentials
        self.engine = connect(f"chdb://{folder.resolve()}", "default", pool_size=1)
        self._connections: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ended."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong in a handler, except a client that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close the socket, end the connections that clients keep open, and let go of the engine."""
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.engine.close()


class _Handler(BaseHTTPRequestHandler):
    """One client's connection: request after request until the client closes it."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "Stepwell"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer /ping and reading statements; GET never writes, as in ClickHouse."""
        if urlsplit(self.path).path in {"/ping", "/replicas_status"}:
            self._send(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            return
        self._answer(b"", writing_method=False)

    def do_HEAD(self) -> None:
        """Answer a probe without a body."""
        self._send(200, b"", {})

    def do_POST(self) -> None:
        """Run the statement in the URL or the body, with the body's data for an insert."""
        try:
            body = self._body()
        except (ValueError, cramjam.DecompressionError) as error:
            self.close_connection = True
            self._fail(StatementError(f"Code: 2. DB::Exception: The body can't be read: {error}", 2))
            return
        self._answer(body, writing_method=True)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: the services log what they ask."""

    def _answer(self, body: bytes, writing_method: bool) -> None:
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            writer = self._is_writer(fields) and writing_method
            form = self.headers.get("X-ClickHouse-Format")
            fields.setdefault("database", self.headers.get("X-ClickHouse-Database", ""))
            content_type = self.headers.get("Content-Type", "")
            # Long parameters come in a form, since they would not fit into a URL.
            if content_type.startswith("multipart/form-data"):
                fields |= form_fields(content_type, body)
                body = b""
            started = time.perf_counter_ns()
            answer = run(self.server.folder, Request.parse(fields, body, form), writer, self.server.limits)
        except StatementError as error:
            self._fail(error, framed=fields.get("compress") == "1")
            return
        self._succeed(answer, fields, time.perf_counter_ns() - started)

    def _is_writer(self, fields: dict[str, str]) -> bool:
        """Tell a writer from a guest; raises StatementError for credentials that are neither's."""
        user, password = self._given_credentials(fields)
        if user in _GUESTS and not password:
            return False
        wanted_user, wanted_password = self.server.credentials
        if hmac.compare_digest(user.encode(), wanted_user.encode()) and hmac.compare_digest(
            password.encode(), wanted_password.encode()
        ):
            return True
        raise StatementError(
            f"Code: {_AUTHENTICATION_CODE}. DB::Exception: {user}: Authentication failed: password is incorrect, or "
            "there is no user with such name. (AUTHENTICATION_FAILED)",
            _AUTHENTICATION_CODE,
        )

    def _given_credentials(self, fields: dict[str, str]) -> tuple[str, str]:
        header = self.headers.get("Authorization", "")
        if header.startswith("Basic "):
            try:
                user, _, password = b64decode(header.removeprefix("Basic ")).decode().partition(":")
            except ValueError:
                return "?", "?"
            return user, password
        named = self.headers.get("X-ClickHouse-User")
        if named is not None:
            return named, self.headers.get("X-ClickHouse-Key", "")
        return fields.get("user", ""), fields.get("password", "")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            content = self._chunks()
        else:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 <= length <= _MAX_BODY_BYTES:
                raise ValueError(f"it may have {_MAX_BODY_BYTES:,} bytes at most")
            content = self.rfile.read(length)
        return decompressed(content, self.headers.get("Content-Encoding", ""))

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        room = _MAX_BODY_BYTES
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            room -= size
            if room < 0:
                raise ValueError(f"it may have {_MAX_BODY_BYTES:,} bytes at most")
            parts.append(self.rfile.read(size))
            self.rfile.readline(64)
        while self.rfile.readline(1024).strip():
            pass
        return b"".join(parts)

    def _succeed(self, answer: Answer, fields: Mapping[str, str], elapsed_ns: int) -> None:
        counted = dict.fromkeys(("read_rows", "read_bytes", "written_rows", "written_bytes", "result_rows"), 0)
        way = "written" if answer.insert else "read"
        counted |= {f"{way}_rows": answer.rows, f"{way}_bytes": answer.bytes_read, "elapsed_ns": elapsed_ns}
        if isinstance(answer.body, bytes):
            # Some clients take an answer without them for one without rows.
            counted |= {"result_rows": 0 if answer.insert else answer.rows, "result_bytes": len(answer.body)}
        summary = {name: str(value) for name, value in counted.items()}
        headers = {
            "X-ClickHouse-Query-Id": fields.get("query_id", "").replace("\n", " ").replace("\r", " "),
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Summary": json.dumps(summary),
        }
        if answer.form is not None:
            headers["X-ClickHouse-Format"] = answer.form
        framed = fields.get("compress") == "1"
        if not isinstance(answer.body, bytes):
            self._send_chunks(answer.body, headers, framed)
            return
        if framed:
            self._send(200, b"".join(frames(answer.body)), headers)
            return
        encodings = {item.split(";")[0].strip() for item in self.headers.get("Accept-Encoding", "").split(",")}
        body = answer.body
        # Loopback is faster than any compression but this one; small answers gain nothing.
        if "lz4" in encodings and len(body) > 1 << 16:
            headers["Content-Encoding"] = "lz4"
            body = bytes(cramjam.lz4.compress(body))
        self._send(200, body, headers)

    def _fail(self, error: StatementError, *, framed: bool = False) -> None:
        body = f"{error}\n".encode()
        content = b"".join(frames(body)) if framed else body
        self._send(_STATUS.get(error.code, 500), content, {"X-ClickHouse-Exception-Code": str(error.code)})

    def _send_chunks(self, chunks: Generator[bytes, None, None], headers: dict[str, str], framed: bool) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with closing(chunks):
            try:
                for chunk in chunks:
                    for part in frames(chunk) if framed else [chunk] if chunk else []:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            except RuntimeError:
                # The engine broke off: without the last chunk the client knows that its answer is not whole.
                self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
