"""Output of Arrow's writers in pieces, for which no column is copied."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

_LARGE_BYTES: Final = 65_536

Pieces = Sequence[bytes | memoryview]
"""Bytes in consecutive pieces; columns are sent from where they are."""


class PieceSink(io.RawIOBase):
    """A file object that collects writes until `drain`; positions count from the start of the stream.

    Columns of an Arrow stream are written as buffers, which are kept without a copy: they never change.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[Any] = []
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Keep what is written; return its size in bytes."""
        piece = data if isinstance(data, pa.Buffer) else bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._position

    def drain(self) -> Pieces:
        """Return what was written since the last call: large pieces as they are, small ones joined."""
        written, self._pieces = self._pieces, []
        drained: list[bytes | memoryview] = []
        small: list[bytes] = []
        for piece in written:
            if len(piece) < _LARGE_BYTES:
                small.append(piece)
                continue
            drained += [b"".join(small), memoryview(piece)]
            small = []
        return [*drained, b"".join(small)]
