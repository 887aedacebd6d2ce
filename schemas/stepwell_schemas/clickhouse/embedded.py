"""The embedded ClickHouse engine (chDB): clients, and streaming of results in bounded memory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from stepwell_schemas.clickhouse.errors import engine_call, translate_errors
from stepwell_schemas.errors import StoreInUseError, StoreRejectedError

EMBEDDED: Final = "chdb"
"""The DSN scheme of the embedded engine."""


def embedded_path(dsn: str) -> Path | None:
    """Return the folder in a DSN of the embedded engine; None for a server's DSN."""
    return Path(urlsplit(dsn).path) if urlsplit(dsn).scheme == EMBEDDED else None


def open_embedded(path: Path, settings: Mapping[str, str | int]) -> Client:
    """Open the engine in a folder, which is created if it is missing, and return a client.

    Raises:
        StoreInUseError: if another process uses the folder, or this process has opened another one.
        StoreRejectedError: if the folder can't be used.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(interface=EMBEDDED, path=str(path), settings=dict(settings))
    except OSError as error:
        raise StoreRejectedError(f"the folder {path} can't be used: {error.strerror}") from error
    except ClickHouseError as error:
        if "already initialized with path" in str(error):
            raise StoreInUseError(
                f"this process already runs the embedded engine on another folder than {path}; "
                "use one folder for each process"
            ) from error
        if _locked(path / "status"):
            raise StoreInUseError(
                f"the folder {path} is in use by another process; stop that process, or use another folder"
            ) from error
        raise


def stream_embedded(
    path: Path, database: str, settings: Mapping[str, str | int], sql: str, parameters: dict[str, Any] | None
) -> Generator[pa.RecordBatch]:
    """Yield a query's result in batches; closing the generator early cancels the query. Raises: StoreError."""
    import chdb  # the extra `local`: services that use a server don't have it

    # The driver would hold the complete Arrow result in memory. The engine returns it block by block, each a complete
    # Arrow stream. A separate handle is used so that those of the pool stay free.
    text, bound = bind_query(sql, parameters, None)
    with translate_errors():
        handle = engine_call(chdb.connect, str(path))
        try:
            if settings:
                every = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
                engine_call(handle.query, f"SET {every}", "TabSeparated")
            engine_call(handle.query, f"USE `{database}`", "TabSeparated")
            plain = {name.removeprefix("param_"): value for name, value in bound.items()}
            result = engine_call(handle.send_query, text, "ArrowStream", params=plain)
            try:
                while (block := engine_call(next, result, None)) is not None:
                    yield from pa.ipc.open_stream(pa.py_buffer(block.bytes()))
            finally:
                result.close()
        finally:
            handle.close()


def _locked(file: Path) -> bool:
    """Return True if the engine's lock is held; a running engine keeps a flock on this file."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
