"""Access to ClickHouse, either a server over HTTP or the embedded engine, through one class `Store`.

Inputs are Arrow tables, our own SQL text, and `{name:Type}` parameters: values never become SQL text. All errors are
`StoreError`s.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any, Final, Self
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from stepwell_schemas.clickhouse.arrow_file import ArrowFile
from stepwell_schemas.clickhouse.connection_settings import (
    CLIENT_SETTINGS,
    INSERT_SETTINGS,
    STATEMENT_SETTINGS,
    known_settings,
)
from stepwell_schemas.clickhouse.embedded import EMBEDDED, embedded_path, open_embedded, stream_embedded
from stepwell_schemas.clickhouse.errors import translate_errors
from stepwell_schemas.errors import IdentifierError, StoreError, StoreRejectedError
from stepwell_schemas.rules.valid_text import valid_batch, valid_text

Parameters = Mapping[str, Any]

_CONNECT_TIMEOUT_SECONDS: Final = 5
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# The driver also logs the errors it raises; without this, a process that does not configure logging prints them.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Store:
    """A database in ClickHouse. Synchronous and thread-safe; created by `connect`.

    In SQL text, `{db}` stands for the quoted database name; it is also the default database. At most `pool_size` calls
    run concurrently, further ones wait. Every method raises `StoreUnavailableError` if the same call may succeed later,
    and `StoreRejectedError` if it will not.
    """

    def __init__(self, dsn: str, database: str, pool_size: int, settings: Mapping[str, str | int]) -> None:
        self.database = database
        self._dsn = dsn
        self._settings = {**CLIENT_SETTINGS, **settings}
        self._quoted = f"`{database}`"
        self._embedded_path = embedded_path(dsn)
        self._closed = False
        self._lock = threading.Lock()
        self._clients: list[Client] = []
        # Idle clients, the most recently used on top; None stands for a client that was not created yet.
        self._idle: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(pool_size):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(pool_size, "store")
        self._kill_lock = threading.Lock()
        self._kill_client: Client | None = None
        with self._client():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the result of a query as a table."""
        with self._client() as client:
            answer = client.raw_query(self._text(sql), _dict(parameters), fmt="ArrowStream")
        if not answer:
            return pa.table({})
        with translate_errors():
            return valid_text(pa.ipc.open_stream(pa.py_buffer(answer)).read_all())

    def queries(self, statements: Sequence[tuple[str, Parameters]]) -> list[pa.Table]:
        """Run several queries concurrently and return their results in order.

        A short query spends most of its time in planning, on one core: two take little longer than one.
        """
        if self._closed:
            raise StoreRejectedError("the store was closed")
        others = [self._threads.submit(self.query, *statement) for statement in statements[1:]]
        try:
            first = [self.query(*statement) for statement in statements[:1]]
        finally:
            wait(others)
        return first + [other.result() for other in others]

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        """Yield a query's result in batches (some 65,000 rows each), with memory bounded by the batch size.

        Closing the iterator early cancels the query.
        """
        if self._embedded_path is not None:
            batches = stream_embedded(
                self._embedded_path, self.database, self._settings, self._text(sql), _dict(parameters)
            )
        else:
            batches = self._stream_http(self._text(sql), _dict(parameters))
        with closing(batches):
            for batch in batches:
                yield valid_batch(batch)

    def query_bytes(
        self,
        sql: str,
        parameters: Parameters | None = None,
        fmt: str = "JSON",
        settings: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the result of a query in one of ClickHouse's output formats.

        `settings` are those of the session during the query, as far as the server's version has them: they hold for
        all of the query, and no clause of it comes before them.
        """
        if not fmt.isalnum():
            raise StoreRejectedError(f"{fmt!r} is not a format of ClickHouse")
        with self._client() as client:
            known = known_settings(client, settings) if settings else None
            return client.raw_query(self._text(sql), _dict(parameters), known, fmt=fmt)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert rows into a table of the database; columns match by name, missing ones get their default.

        The rows become one block, stored completely or not at all. An insert repeated under the same `token` is stored
        once, within the table's deduplication window.
        """
        if _TABLE.fullmatch(table) is None:
            raise IdentifierError("table", table, "must be a plain name")
        named = {} if token is None else {"insert_deduplication_token": token}
        file = ArrowFile(rows)
        # The driver copies it into a file for the embedded engine; over HTTP, it may have to send it twice.
        block: Any = bytes(file) if self._embedded_path is None else file
        with self._client() as client:
            settings = known_settings(client, INSERT_SETTINGS) | named
            client.raw_insert(f"{self._quoted}.`{table}`", rows.column_names, block, settings, "Arrow")

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement without a result, such as DDL. Works before the database exists."""
        with self._client() as client:
            # Not the driver's `command`, which puts parameters of any length into the URL.
            client.raw_query(self._text(sql), _dict(parameters), use_database=False)

    def kill(self, mark: str) -> None:
        """Kill the statements whose `log_comment` is `mark`, without waiting for their end.

        It uses a separate connection: the statements to kill may occupy all connections of the pool.
        """
        with self._kill_lock, translate_errors():
            if self._kill_client is None:
                self._kill_client = self._new_client()
            sql = "KILL QUERY WHERE Settings['log_comment'] = {mark:String} ASYNC"
            self._kill_client.raw_query(sql, {"mark": mark}, use_database=False)

    def close(self) -> None:
        """Close the connections; the embedded engine shuts down with the process's last store. Idempotent."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, []
        # Before the engine, which keeps state for each thread.
        self._threads.shutdown()
        for client in clients:
            client.close()

    def _text(self, sql: str) -> str:
        return sql.replace("{db}", self._quoted)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        client = self._idle.get()
        try:
            with translate_errors():
                if client is None or self._closed:
                    client = self._new_client()
                yield client
        except StoreError:
            client = self._replacement_for(client)
            raise
        finally:
            self._idle.put(client)

    def _replacement_for(self, client: Client | None) -> Client | None:
        """Return the client for the next call after one whose call failed.

        A handle of the embedded engine whose statement was cancelled may return the next result in that statement's
        format.
        """
        if client is None or self._embedded_path is None or self._closed:
            return client
        # Created first: the engine would shut down without any handle.
        fresh = self._new_client()
        with self._lock:
            self._clients.remove(client)
        client.close()
        return fresh

    def _new_client(self) -> Client:
        if self._closed:
            raise StoreRejectedError("the store was closed")
        if self._embedded_path is not None:
            client = open_embedded(self._embedded_path, self._settings)
        else:
            client = clickhouse_connect.get_client(
                dsn=self._dsn,
                settings=dict(self._settings),
                # Compression takes more time than it saves within one site; a session forbids concurrent calls.
                compress=False,
                autogenerate_session_id=False,
                connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            )
        for name, value in known_settings(client, STATEMENT_SETTINGS).items():
            client.set_client_setting(name, value)
        # Set afterwards: the first connection may have to create the database.
        client.database = self.database
        with self._lock:
            self._clients.append(client)
        return client

    def _stream_http(self, sql: str, parameters: dict[str, Any] | None) -> Generator[pa.RecordBatch]:
        with self._client() as client, client.raw_stream(sql, parameters, fmt="ArrowStream") as source:
            yield from pa.ipc.open_stream(source)


def connect(
    dsn: str, database: str = "stepwell", pool_size: int = 4, settings: Mapping[str, str | int] | None = None
) -> Store:
    """Connect to ClickHouse and return a `Store`; the database may not exist yet (see `migrate`).

    Args:
        dsn: `http(s)://user:password@host:port`, or `chdb:///folder` for the embedded engine. A process can open one
            folder only, and processes can't share a folder.
        database: the database that `{db}` stands for.
        pool_size: the number of concurrent calls.
        settings: ClickHouse settings for every call of this store, such as `readonly`.

    Raises:
        StoreUnavailableError: if ClickHouse does not answer.
        StoreInUseError: if another process uses the folder, or this process has opened another one.
        StoreRejectedError: if user or password are wrong.
        IdentifierError: if `database` is not a plain name.
        StoreError: if the DSN is malformed.
    """
    if _DATABASE.fullmatch(database) is None:
        raise IdentifierError("database", database, "must be letters, digits, _ and -, and not begin with a digit")
    parts = urlsplit(dsn)
    folder_named = not parts.netloc and parts.path.startswith("/") and not parts.query and not parts.fragment
    if not (parts.scheme in {"http", "https"} and parts.netloc) and not (parts.scheme == EMBEDDED and folder_named):
        raise StoreError(
            "STEPWELL_CLICKHOUSE_DSN must have the form http(s)://user:password@host:port or chdb:///absolute/folder"
        )
    return Store(dsn, database, pool_size, settings or {})


def _dict(parameters: Parameters | None) -> dict[str, Any] | None:
    return None if parameters is None else dict(parameters)
