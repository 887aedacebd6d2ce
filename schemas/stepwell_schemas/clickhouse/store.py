"""The one way to ClickHouse: a server over HTTP or the engine inside this process, behind one `Store`.

Everything that crosses this boundary is Arrow, SQL text of our own, or a `{name:Type}` parameter: values never
become SQL text. Every error that leaves it is a `StoreError`.
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

from stepwell_schemas.clickhouse.embedded import EMBEDDED, embedded_path, open_embedded, stream_embedded
from stepwell_schemas.clickhouse.errors import translated
from stepwell_schemas.errors import IdentifierError, StoreError, StoreRejectedError
from stepwell_schemas.rules.valid_text import valid_batch, valid_text

Parameters = Mapping[str, Any]

_CONNECT_TIMEOUT_SECONDS: Final = 5
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# Given once a connection: with a single call they cost the embedded engine four more statements.
_CLIENT_SETTINGS: Final[dict[str, str | int]] = {
    # Strings as text: ClickHouse would answer bytes, which every reader would have to decode.
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
    # Rows are stored as they come: replacing and aggregating happens in later merges.
    "optimize_on_insert": 0,
    # An insert repeated under its token lands once in the tables behind a materialized view too.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}

# The driver logs what it also raises; without this, a process that set up no logging would print it to stderr.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Store:
    """One database of one ClickHouse. Synchronous and thread-safe; made by `connect`.

    In SQL text `{db}` stands for the quoted database; names without it are looked up there too. At most
    `pool_size` calls run at once, further ones wait. Every method raises `StoreUnavailableError` when the same call
    may succeed later, and `StoreRejectedError` when it will not.
    """

    def __init__(self, dsn: str, database: str, pool_size: int, settings: Mapping[str, str | int]) -> None:
        self.database = database
        self._dsn = dsn
        self._settings = {**_CLIENT_SETTINGS, **settings}
        self._quoted = f"`{database}`"
        self._embedded_path = embedded_path(dsn)
        self._closed = False
        self._lock = threading.Lock()
        self._clients: list[Client] = []
        # Idle clients, the last used on top; None stands for a client that was not needed yet.
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
        """Return a query's whole result."""
        with self._client() as client:
            answer = client.raw_query(self._text(sql), _dict(parameters), fmt="ArrowStream")
        if not answer:
            return pa.table({})
        with translated():
            return valid_text(pa.ipc.open_stream(pa.py_buffer(answer)).read_all())

    def queries(self, statements: Sequence[tuple[str, Parameters]]) -> list[pa.Table]:
        """Return the whole results of several queries, in order, run at once.

        Most of a short query's time goes into planning it, on one core: two take little longer than one.
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
        """Yield a query's result batch by batch (some 65,000 rows each), in memory bounded by the batch.

        An early end of the iteration (`close()` on it) cancels the query.
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

    def query_bytes(self, sql: str, parameters: Parameters | None = None, fmt: str = "JSON") -> bytes:
        """Return a query's result in one of ClickHouse's output formats."""
        if not fmt.isalnum():
            raise StoreRejectedError(f"{fmt!r} is not a format of ClickHouse")
        with self._client() as client:
            return client.raw_query(self._text(sql), _dict(parameters), fmt=fmt)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert rows into a table of the database; columns match by name, missing ones take their default.

        An insert repeated under the same `token` lands once, within the table's deduplication window.
        """
        if _TABLE.fullmatch(table) is None:
            raise IdentifierError("table", table, "must be a plain name")
        settings = {} if token is None else {"insert_deduplication_token": token}
        block = _arrow_file(rows)
        with self._client() as client:
            client.raw_insert(f"{self._quoted}.`{table}`", rows.column_names, block, settings, "Arrow")

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement whose result is of no interest, such as DDL. Works before the database exists."""
        with self._client() as client:
            # Not the driver's `command`: it would put parameters of any length into the URL.
            client.raw_query(self._text(sql), _dict(parameters), use_database=False)

    def kill(self, mark: str) -> None:
        """End the statements whose `log_comment` is `mark`, without waiting for their end.

        It has a connection of its own: those of the pool may all be taken by what is to end.
        """
        with self._kill_lock, translated():
            if self._kill_client is None:
                self._kill_client = self._new_client()
            sql = "KILL QUERY WHERE Settings['log_comment'] = {mark:String} ASYNC"
            self._kill_client.raw_query(sql, {"mark": mark}, use_database=False)

    def close(self) -> None:
        """Release the connections; the embedded engine ends with the process's last store. Idempotent."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, []
        # Before the engine, which keeps what it knows of each thread.
        self._threads.shutdown()
        for client in clients:
            client.close()

    def _text(self, sql: str) -> str:
        return sql.replace("{db}", self._quoted)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        client = self._idle.get()
        try:
            with translated():
                if client is None or self._closed:
                    client = self._new_client()
                yield client
        except StoreError:
            client = self._instead_of(client)
            raise
        finally:
            self._idle.put(client)

    def _instead_of(self, client: Client | None) -> Client | None:
        """Return the client for the next call after one whose call failed.

        A handle of the embedded engine whose statement was cancelled may write the next answer in that one's format.
        """
        if client is None or self._embedded_path is None or self._closed:
            return client
        # First, so that the engine is never without a handle: it would end.
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
                # Compression costs more time than a network within one site; a session forbids calls at once.
                compress=False,
                autogenerate_session_id=False,
                connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            )
        # Set afterwards: the first connection may be the one that creates the database.
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
    """Connect to ClickHouse and return its `Store`; the database itself may still be missing (see `migrate`).

    Args:
        dsn: `http(s)://user:password@host:port`, or `chdb:///folder` for the engine embedded in this process, which
            opens one folder in its life; two processes can't share a folder.
        database: the database that `{db}` stands for.
        pool_size: calls at once.
        settings: ClickHouse settings for every call of this store, such as `readonly`.

    Raises:
        StoreUnavailableError: when no ClickHouse answers.
        StoreInUseError: when another process has the folder, or this process has opened another one.
        StoreRejectedError: when user or password are wrong.
        IdentifierError: when `database` is not a plain name.
        StoreError: when the DSN has another form.
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


def _arrow_file(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # One chunk: the file format holds one dictionary per column, and ClickHouse parses fewer, larger blocks faster.
    whole = rows.combine_chunks()
    with pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _dict(parameters: Parameters | None) -> dict[str, Any] | None:
    return None if parameters is None else dict(parameters)
