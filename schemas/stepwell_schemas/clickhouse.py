"""The one way to ClickHouse, over clickhouse-connect: a server by HTTP, or the same engine embedded by chDB.

    connect("http://user:password@host:8123", "stepwell")     a server
    connect("chdb:///var/lib/stepwell", "stepwell")           embedded; one process a folder, one folder a process

Values travel only as `{name:Type}` parameters. `{db}` in a statement stands for the store's database.
Drivers' errors become the StoreError tree here and nowhere else.
"""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError, ProgrammingError

from stepwell_schemas.errors import StoreError, StoreInUseError, StoreRejectedError, StoreUnavailableError

Parameters = Mapping[str, Any]

# Set once a connection: on the embedded engine a setting given with a single call costs four more statements.
_SETTINGS: Final = {
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_compression_method": "none",
    "optimize_on_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_CODE = re.compile(r"[Cc]ode:? ?(\d+)")
# All that chDB says when it can't take the lock on its folder.
_ENGINE_NOT_OPENED: Final = "Error initializing EmbeddedServer"
# Codes that say "not now": timeouts, connections, memory, read-only replicas, shutting down.
_UNAVAILABLE_CODES: Final = frozenset({159, 160, 202, 209, 210, 241, 242, 252, 279, 425, 999})


class Store:
    """A pool of connections to one database. Synchronous and safe to call from several threads at once.

    Every method raises StoreUnavailableError when the same call may succeed later, and StoreRejectedError when the
    engine refused the statement. A successful `insert` says that the rows are in ClickHouse, not that they are on disk.
    """

    def __init__(self, clients: list[Client], database: str) -> None:
        self.database = database
        self._clients = clients
        self._free: queue.LifoQueue[Client] = queue.LifoQueue()
        for client in clients:
            self._free.put(client)

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the result of a SELECT; strings as Arrow strings."""
        return pa.ipc.open_file(pa.BufferReader(self.query_bytes(sql, parameters, "Arrow"))).read_all()

    def query_bytes(self, sql: str, parameters: Parameters | None, fmt: str) -> bytes:
        """Return the result of a SELECT in one of ClickHouse's output formats."""
        with self._client() as client:
            return client.raw_query(self._text(sql), dict(parameters or {}), fmt=fmt)

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the result of a SELECT block by block; memory stays bounded by a few blocks."""
        with (
            self._client() as client,
            client.query_column_block_stream(self._text(sql), dict(parameters or {})) as blocks,
        ):
            names = blocks.source.column_names
            for columns in blocks:
                yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(names))

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows in one block; rows already inserted under the same token land once."""
        with self._client() as client:
            client.insert_arrow(table, rows, database=self.database, settings={"insert_deduplication_token": token})

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns no rows."""
        with self._client() as client:
            client.command(self._text(sql), dict(parameters or {}), use_database=False)

    def close(self) -> None:
        """Close every connection; waits for calls under way."""
        for _ in self._clients:
            self._free.get().close()

    def _text(self, sql: str) -> str:
        return sql.replace("{db}", f"`{self.database}`")

    @contextmanager
    def _client(self) -> Iterator[Client]:
        client = self._free.get()
        try:
            with _translated():
                yield client
        finally:
            self._free.put(client)


def connect(dsn: str, database: str = "stepwell", pool_size: int = 4) -> Store:
    """Connect to ClickHouse; the database need not exist yet.

    Raises:
        StoreInUseError: when another process has the embedded engine's folder open.
        StoreUnavailableError: when the server does not answer.
        StoreRejectedError: when the DSN or the database's name can't be used.
    """
    if not _DATABASE.fullmatch(database):
        raise StoreRejectedError(f"database {database!r}: must be letters, digits and '_', not beginning with a digit")
    with _translated(dsn):
        clients = [clickhouse_connect.get_client(dsn=dsn, settings=_SETTINGS) for _ in range(pool_size)]
    return Store(clients, database)


@contextmanager
def _translated(dsn: str = "") -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (ClickHouseError, OSError, RuntimeError) as error:
        raise _translate(error, dsn) from error


def _translate(error: Exception, dsn: str) -> StoreError:
    message = str(error).strip()
    if _ENGINE_NOT_OPENED in message:
        folder = dsn.removeprefix("chdb://") or "of the embedded engine"
        return StoreInUseError(
            f"the folder {folder} is in use by another process: stop it, or name another folder"
        )
    found = _CODE.search(message)
    code = int(found[1]) if found else 0
    refused = isinstance(error, (DatabaseError, ProgrammingError)) and not isinstance(error, OperationalError)
    if not refused or code in _UNAVAILABLE_CODES:
        return StoreUnavailableError(message)
    return StoreRejectedError(message, code)
