"""Runs one statement that came over ClickHouse's HTTP protocol on the embedded engine."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import chdb
import pyarrow as pa

from stepwell_deploy.http_statements import Insert, Request, StatementError, literal, quoted_name
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.readonly import check_read_only

_SYNTAX_CODE: Final = 62
# The one format of which whole blocks can be joined, without holding the result, to what the protocol promises.
_STREAMED: Final = "ArrowStream"


@dataclass(frozen=True)
class Answer:
    """A statement's result; `form` is None for statements that have none. An iterator must be used up or closed."""

    body: bytes | Generator[bytes, None, None]
    form: str | None
    rows: int
    bytes_read: int
    insert: bool


def run(folder: Path, request: Request, writer: bool) -> Answer:
    """Run a statement on a handle of its own, so that no setting outlives it; guests only read.

    A writer that sets `readonly` is held to the guests' rule too.

    Raises:
        StatementError: with the engine's code.
    """
    readonly = request.settings.get("readonly", "0") if writer else "1"
    try:
        if not request.statement.strip():
            raise StatementError(f"Code: {_SYNTAX_CODE}. DB::Exception: Empty query. (SYNTAX_ERROR)", _SYNTAX_CODE)
        if readonly != "0":
            check_read_only(request.statement.decode())
        # Untyped in chdb.
        connect: Any = chdb.connect
        with ExitStack() as stack:
            handle = connect(str(folder))
            stack.callback(handle.close)
            _prepare(handle, request, readonly)
            insert = request.insert()
            if insert is not None:
                return _insert(handle, request, insert)
            if request.result_format() == _STREAMED:
                return _stream(handle, request, stack)
            return _query(handle, request)
    except StoreRejectedError as error:
        raise StatementError(str(error), error.code) from error
    except UnicodeDecodeError as error:
        raise StatementError(
            f"Code: {_SYNTAX_CODE}. DB::Exception: The statement is not UTF-8. (SYNTAX_ERROR)", _SYNTAX_CODE
        ) from error
    except RuntimeError as error:
        match = re.search(r"Code: (\d+)", str(error))
        raise StatementError(str(error)[match.start() if match else 0 :], int(match[1]) if match else 0) from error


def _prepare(handle: Any, request: Request, readonly: str) -> None:
    if request.database:
        handle.query(f"USE {quoted_name(request.database)}")
    # `readonly` last, since nothing can be set after it.
    settings = {name: value for name, value in request.settings.items() if name != "readonly"}
    settings["readonly"] = readonly
    handle.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings.items()))


def _query(handle: Any, request: Request) -> Answer:
    result = handle.query(request.statement, request.form, params=dict(request.parameters))
    return Answer(result.bytes() or b"", request.result_format(), result.rows_read(), result.bytes_read(), insert=False)


def _stream(handle: Any, request: Request, stack: ExitStack) -> Answer:
    """Answer block by block: what is held in memory is a block, not the result; the answer takes over `stack`."""
    result = handle.send_query(request.statement, _STREAMED, params=dict(request.parameters))
    stack.callback(result.close)
    # The first block tells whether the statement runs at all, while an error can still be the answer.
    first = next(result, None)
    if first is None:
        result.close()
        return _query(handle, request)
    return Answer(_one_stream(first, result, stack.pop_all()), _STREAMED, 0, 0, insert=False)


def _one_stream(first: Any, rest: Iterator[Any], stack: ExitStack) -> Generator[bytes, None, None]:
    """Yield one Arrow stream made from the engine's blocks, each of which is a whole stream."""
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
