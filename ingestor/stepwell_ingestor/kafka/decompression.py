"""Decompression with a bound: the memory it takes is that of the bound, whatever the input would become."""

from __future__ import annotations

import struct
from typing import Final

import cramjam
import pyarrow as pa

from stepwell_ingestor.errors import BatchTooLargeError
from stepwell_schemas.limits import MIB

GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4
"""Kafka's numbers of the codecs, as they stand in the attributes of a record batch."""

_STREAMED: Final = {GZIP: "gzip", LZ4: "lz4", ZSTD: "zstd"}
_PIECE_BYTES: Final = MIB
# Java's snappy writes blocks behind a header of its own: a magic, two versions; then a length before each block.
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_LENGTH: Final = struct.Struct(">i")


def decompress(codec: int, data: memoryview, limit: int) -> bytes:
    """Return decompressed data.

    Raises:
        BatchTooLargeError: when it has more than `limit` bytes.
        ValueError, OSError, RuntimeError: when the codec is not known or the data is broken.
    """
    if codec == SNAPPY:
        return _snappy(data, limit)
    if codec not in _STREAMED:
        raise ValueError(f"compression codec {codec} is unknown")
    pieces: list[bytes] = []
    size = 0
    with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data)), _STREAMED[codec]) as stream:
        while piece := stream.read(min(_PIECE_BYTES, limit + 1 - size)):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise BatchTooLargeError(limit)
    return b"".join(pieces)


def _snappy(data: memoryview, limit: int) -> bytes:
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(data, limit)
    blocks: list[bytes] = []
    place = _XERIAL_HEADER_BYTES
    while place < len(data):
        (size,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if not 0 <= size <= len(data) - place:
            raise ValueError(f"a snappy block has {size} bytes of {len(data) - place}")
        blocks.append(_snappy_block(data[place : place + size], limit))
        limit -= len(blocks[-1])
        place += size
    return b"".join(blocks)


def _snappy_block(data: memoryview, limit: int) -> bytes:
    # The block begins with its size; it is checked against what the block really becomes.
    if cramjam.snappy.decompress_raw_len(data) > limit:
        raise BatchTooLargeError(limit)
    return bytes(cramjam.snappy.decompress_raw(data))
