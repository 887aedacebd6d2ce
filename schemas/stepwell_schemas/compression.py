"""Decompression with a size limit, which bounds the memory used whatever the input."""

from __future__ import annotations

from typing import Final, Literal

import pyarrow as pa

from stepwell_schemas.errors import ExpansionError
from stepwell_schemas.limits import MIB

Coding = Literal["gzip", "lz4", "zstd"]
_PIECE_BYTES: Final = MIB


def expand(coding: Coding, data: bytes | memoryview, limit: int) -> bytes:
    """Return decompressed data.

    Raises:
        ExpansionError: if it has more than `limit` bytes.
        ValueError, OSError: if the data is corrupt, or cut off.
    """
    pieces: list[bytes] = []
    size = 0
    with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data)), coding) as stream:
        while piece := stream.read(min(_PIECE_BYTES, limit + 1 - size)):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise ExpansionError(limit)
    return b"".join(pieces)
