"""Execution of one statement of ClickHouse's HTTP protocol on the embedded engine."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, Final

import chdb
import pyarrow as pa

from stepwell_deploy.clickhouse_server.guests import Limits, VisibleRows, check_settings, check_statement, with_limits
from stepwell_deploy.clickhouse_server.request import Insert, Request, StatementError, literal, quoted_name
from stepwell_schemas.errors import StoreError
from stepwell_schemas.limits import MIB

_SYNTAX_CODE: Final = 62
_CHECK_LIMITS: Final = {"max_execution_time": "5", "max_memory_usage": str(512 * MIB)}
# Each block of this format is a complete stream.
_ARROW: Final = "ArrowStream"
_NO_DATABASE: Final = frozenset({"", "default"})
# Its value is the mark of a statement: the embedded engine has no other use for it, and no client sets it. A mark in
# `log_comment` is lost when the client sets its own.
_MARK: Final = "stream_like_engine_insert_queue"
_NOT_STREAMED: Final = "Streaming query is not supported"


@dataclass(frozen=True)
class Answer:
    """The result of a statement; `form` is None for statements without an output format. It must be closed."""

    body: bytes | Generator[bytes, None, None]
    form: str | None
    rows: int
    bytes_read: int
    insert: bool
    resources: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """End the statement if its answer was not read to the end. Idempotent."""
        if not isinstance(self.body, bytes):
            self.body.close()
        # A generator that was never started does not close them.
        self.resources.close()


def run(
    folder: Path, request: Request, writer: bool, limits: Limits, mark: str, rows: VisibleRows | None = None
) -> Answer:
    """Run a statement on a separate handle, so that no setting outlives it; guests only read, within `limits`.

    A writer that sets `readonly` is restricted to reading too, without the guests' limits.

    Args:
        folder: the engine's folder.
        request: the statement with its settings and parameters.
        writer: true if the request comes from the user with write access.
        limits: the guests' limits.
        mark: identifies the statement while it runs, so that it can be killed.
        rows: the rows that a guest may see; None: all.

    Raises:
        StatementError: with the engine's code.
    """
    readonly = request.settings.get("readonly", "0") if writer else "1"
    try:
        if not request.statement.strip():
            raise StatementError(f"Code: {_SYNTAX_CODE}. DB::Exception: Empty query. (SYNTAX_ERROR)", _SYNTAX_CODE)
        settings = dict(request.settings) if writer else check_settings(request, scoped=rows is not None)
        session: Mapping[str, str] = {}
        # Untyped in chdb.
        connect: Any = chdb.connect
        with ExitStack() as stack:
            handle = connect(str(folder))
            stack.callback(handle.close)
            if rows is not None and request.database in _NO_DATABASE:
                # The names of others' databases are of no use to a guest who may not see all rows.
                request = replace(request, database=rows.database)
            if request.database:
                handle.query(f"USE {quoted_name(request.database)}")
            if readonly != "0":
                # The check executes only our own statements, with limits, since it parses the text of a client.
                _set(handle, {**_CHECK_LIMITS, _MARK: mark}, "0")
                request, session = check_statement(folder, handle, request, rows)
            if not writer:
                # Derived from the parsed statement: its format decides if the answer is held in memory.
                settings = with_limits(settings, limits, streamed=request.streamed())
            _set(handle, {**settings, **session, _MARK: mark}, readonly)
            insert = request.insert()
            if insert is not None:
                return _insert(handle, request, insert)
            if request.streamed():
                return _stream(handle, request, stack)
            return _query(handle, request)
    except StoreError as error:
        raise StatementError(str(error), error.code) from error
    except UnicodeDecodeError as error:
        raise StatementError(
            f"Code: {_SYNTAX_CODE}. DB::Exception: The statement is not UTF-8. (SYNTAX_ERROR)", _SYNTAX_CODE
        ) from error
    except RuntimeError as error:
        match = re.search(r"Code: (\d+)", str(error))
        raise StatementError(str(error)[match.start() if match else 0 :], int(match[1]) if match else 0) from error


class Killer:
    """Kills running statements on a separate handle, so that it never waits for them. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        connect: Any = chdb.connect
        self._handle = connect(str(folder))
        self._lock = Lock()

    def kill(self, mark: str) -> None:
        """Kill the running statement with this mark, if there is one."""
        with self._lock:
            self._handle.query(f"KILL QUERY WHERE Settings['{_MARK}'] = {literal(mark)} ASYNC")

    def close(self) -> None:
        """Release the engine."""
        with self._lock:
            self._handle.close()


def _set(handle: Any, settings: Mapping[str, str], readonly: str) -> None:
    # `readonly` comes last, since no setting can be changed after it.
    ordered = {**{name: value for name, value in settings.items() if name != "readonly"}, "readonly": readonly}
    handle.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in ordered.items()))


def _query(handle: Any, request: Request) -> Answer:
    result = handle.query(request.statement, request.form, params=dict(request.parameters))
    return Answer(result.bytes() or b"", request.result_format(), result.rows_read(), result.bytes_read(), insert=False)


def _stream(handle: Any, request: Request, stack: ExitStack) -> Answer:
    """Return an answer that streams block by block, with one block in memory; the answer takes over `stack`."""
    form = request.result_format() or request.form
    try:
        result = handle.send_query(request.statement, form, params=dict(request.parameters))
    except RuntimeError as error:
        # SHOW, DESCRIBE and the like give no blocks.
        if _NOT_STREAMED not in str(error):
            raise
        return _query(handle, request)
    stack.callback(result.close)
    # The first block shows that the statement runs, while an error can still be returned.
    first = next(result, None)
    if first is None:
        result.close()
        return _query(handle, request)
    joined = _one_stream if form == _ARROW else _blocks
    held = stack.pop_all()
    return Answer(joined(first, result, held), form, 0, 0, insert=False, resources=held)


def _blocks(first: Any, rest: Iterator[Any], stack: ExitStack) -> Generator[bytes, None, None]:
    with stack:
        for block in chain([first], rest):
            yield block.bytes()


def _one_stream(first: Any, rest: Iterator[Any], stack: ExitStack) -> Generator[bytes, None, None]:
    """Yield one Arrow stream from the engine's blocks, each of which is a complete stream."""
    with stack:
        sink = io.BytesIO()
        source = pa.ipc.open_stream(pa.py_buffer(first.bytes()))
        with pa.ipc.new_stream(sink, source.schema) as writer:
            for block in chain([first], rest):
                for batch in pa.ipc.open_stream(pa.py_buffer(block.bytes())):
                    writer.write_batch(batch)
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
        yield sink.getvalue()


def _insert(handle: Any, request: Request, insert: Insert) -> Answer:
    """Insert the data that follows the statement: the embedded engine reads it from a file."""
    with tempfile.NamedTemporaryFile(prefix="stepwell-insert-") as data:
        data.write(memoryview(request.statement)[insert.data_start :])
        data.flush()
        source = f" FROM INFILE {literal(data.name)}".encode()
        statement = insert.into + source + insert.settings + b" FORMAT " + insert.form
        result = handle.query(statement, "TabSeparated", params=dict(request.parameters))
        return Answer(b"", None, result.rows_read(), result.bytes_read(), insert=True)
