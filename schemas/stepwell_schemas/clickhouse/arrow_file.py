"""Tables as files in Arrow's format, in pieces: those with values are the memory of the columns itself."""

from __future__ import annotations

import pyarrow as pa


class ArrowFile:
    """A table as a file that is read once, piece by piece, or as bytes."""

    def __init__(self, rows: pa.Table) -> None:
        written = _Written()
        # One chunk: the file format has one dictionary per column, and ClickHouse parses fewer, larger blocks faster.
        whole = rows.combine_chunks()
        with pa.ipc.new_file(pa.PythonFile(written, mode="w"), whole.schema) as writer:
            writer.write_table(whole)
        self._pieces = written.pieces
        self._read = 0

    def read(self, _: int = -1) -> bytes | pa.Buffer:
        """Return the next piece, whatever its size; b"" at the end."""
        if self._read == len(self._pieces):
            return b""
        self._read += 1
        return self._pieces[self._read - 1]

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)


class _Written:
    """A file for Arrow's writer that keeps what is written, without a copy."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[bytes | pa.Buffer] = []

    def write(self, piece: bytes | pa.Buffer) -> int:
        if len(piece):
            self.pieces.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Do nothing: there is nothing behind it."""
