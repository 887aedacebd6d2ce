"""Tables as files in Arrow's format, in pieces: those with values are the memory of the columns itself."""

from __future__ import annotations

import pyarrow as pa

from stepwell_schemas.arrow_pieces import PieceSink


class ArrowFile:
    """A table as a file that is read once: piece by piece, or as bytes."""

    def __init__(self, rows: pa.Table) -> None:
        sink = PieceSink()
        # One chunk: the file format has one dictionary per column, and ClickHouse parses fewer, larger blocks faster.
        whole = rows.combine_chunks()
        with pa.ipc.new_file(pa.PythonFile(sink, "w"), whole.schema) as writer:
            writer.write_table(whole)
        # An empty piece would be the end.
        self._unread = iter([piece for piece in sink.drain() if piece])

    def read(self, _: int = -1) -> bytes | memoryview:
        """Return the next piece, whatever its size; b"" at the end."""
        return next(self._unread, b"")

    def __bytes__(self) -> bytes:
        return b"".join(self._unread)
