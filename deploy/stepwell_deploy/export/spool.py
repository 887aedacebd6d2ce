"""Spool of the received rows of one run's scan, so that a killed export resumes after the last complete row.

Lines of JSON are appended to one file, which is truncated after its last complete line. Each Arrow answer is a stream;
the complete batches of an interrupted one are used. Files of tables are built from the batches at the end.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from stepwell.api.rows import ReceivedBytes
from stepwell_deploy.export.request import ExportFormat, ExportRequest, Position, RowShape

if TYPE_CHECKING:
    import pyarrow as pa

RowsCallback = Callable[[int], None]
"""Callback that receives the number of new rows."""

_BLOCK_BYTES: Final = 1 << 20
_MILLISECONDS: Final = 1_000.0


class ChangedError(Exception):
    """Rows that were received have changed in the store; raised and handled within the export."""


class Spool(Protocol):
    """The received rows of one run."""

    def last(self) -> Position | None:
        """Return the position of the last complete row, and discard everything after it; None if there is no row."""

    def receive(self, chunks: Iterator[bytes], on_rows: RowsCallback) -> None:
        """Append an answer. Raises: ChangedError."""

    def finish(self, target: Path) -> None:
        """Write the complete file of all received rows to `target`, replacing an existing one."""

    def clear(self) -> None:
        """Discard all received rows."""


def spool_for(request: ExportRequest, folder: Path) -> Spool:
    """Return the spool in `folder` for a format."""
    folder.mkdir(parents=True, exist_ok=True)
    return LineSpool(folder, request) if request.fmt is ExportFormat.NDJSON else BatchSpool(folder, request)


class LineSpool:
    """Lines of JSON, in one file."""

    def __init__(self, folder: Path, request: ExportRequest) -> None:
        self._file = folder / "lines"
        self._long = request.shape is RowShape.LONG

    def last(self) -> Position | None:
        """Return the position of the last complete line, and truncate the file after it."""
        if not self._file.exists():
            return None
        with self._file.open("r+b") as file:
            end = _newline_before(file, os.fstat(file.fileno()).st_size) + 1
            file.truncate(end)
            if not end:
                return None
            start = _newline_before(file, end - 1) + 1
            file.seek(start)
            row = json.loads(file.read(end - start))
        return Position(row["step"], row["kind"], row["key"]) if self._long else Position(row["_step"])

    def receive(self, chunks: Iterator[bytes], on_rows: RowsCallback) -> None:
        """Append the answer's lines."""
        with self._file.open("ab", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)
                on_rows(chunk.count(b"\n"))

    def finish(self, target: Path) -> None:
        """Move the lines to their file."""
        self._file.touch()
        self._file.replace(target)

    def clear(self) -> None:
        """Discard all lines."""
        self._file.unlink(missing_ok=True)


class BatchSpool:
    """Streams of Arrow, one for each answer; the last one may be incomplete."""

    def __init__(self, folder: Path, request: ExportRequest) -> None:
        self._folder = folder
        self._request = request

    def last(self) -> Position | None:
        """Return the position of the last row of the last complete batch; streams without a batch are removed."""
        for part in reversed(self._parts()):
            row = None
            for batch in _whole_batches(part):
                row = batch.slice(batch.num_rows - 1).to_pylist()[0] if batch.num_rows else row
            if row is not None:
                long = self._request.shape is RowShape.LONG
                return Position(row["step"], row["kind"], row["key"]) if long else Position(row["_step"])
            part.unlink()
        return None

    def receive(self, chunks: Iterator[bytes], on_rows: RowsCallback) -> None:
        """Append the answer's batches as they arrive. Raises: ChangedError."""
        import pyarrow as pa

        parts = self._parts()
        received = ReceivedBytes(chunks)
        with pa.ipc.open_stream(pa.PythonFile(received, "r")) as reader:
            if parts and not reader.schema.equals(_schema(parts[0]), check_metadata=True):
                raise ChangedError
            with (
                pa.OSFile(str(self._folder / f"{len(parts):06}"), "wb") as file,
                pa.ipc.new_stream(file, reader.schema) as writer,
            ):
                for batch in reader:
                    writer.write_batch(batch)
                    on_rows(batch.num_rows)
        received.drain()

    def finish(self, target: Path) -> None:
        """Write the file of all batches."""
        parts = self._parts()
        if self._request.fmt is ExportFormat.ARROW and len(parts) == 1:
            parts[0].replace(target)
            return
        made = self._folder / "made"
        batches = (batch for part in parts for batch in _whole_batches(part))
        _WRITERS[self._request.fmt](str(made), _schema(parts[0]), batches)
        made.replace(target)

    def clear(self) -> None:
        """Discard all batches."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def _parts(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.name.isdigit())


def _schema(part: Path) -> pa.Schema:
    import pyarrow as pa

    with pa.memory_map(str(part)) as file, pa.ipc.open_stream(file) as reader:
        return reader.schema


def _whole_batches(part: Path) -> Iterator[pa.RecordBatch]:
    """Yield the complete batches of a stream that may be incomplete."""
    import pyarrow as pa

    with pa.memory_map(str(part)) as file:
        try:
            yield from pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError):
            return


def _write_arrow(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa

    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_parquet(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    # A dictionary of floats costs eight times as much as the floats, and saves nothing.
    texts = [field.name for field in schema if not pa.types.is_floating(field.type)]
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_csv(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow.csv

    with pyarrow.csv.CSVWriter(path, _in_seconds(schema.empty_table()).schema) as writer:
        for batch in batches:
            writer.write_table(_in_seconds(pyarrow.Table.from_batches([batch])))


_WRITERS: Final[dict[ExportFormat, Callable[[str, pa.Schema, Iterator[pa.RecordBatch]], None]]] = {
    ExportFormat.ARROW: _write_arrow,
    ExportFormat.PARQUET: _write_parquet,
    ExportFormat.CSV: _write_csv,
}


def _in_seconds(table: pa.Table) -> pa.Table:
    """Return a table with its times in seconds since the epoch, as in all of Stepwell's CSV."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            seconds = pc.divide(table.column(index).cast(pa.int64()), pa.scalar(_MILLISECONDS))
            table = table.set_column(index, column.name, seconds)
    return table


def _newline_before(file: Any, end: int) -> int:
    """Return the position of the last newline before `end`; -1 if there is none."""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        newline: int = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline
        end = start
    return -1
