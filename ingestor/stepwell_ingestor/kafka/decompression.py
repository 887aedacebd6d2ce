"""Decompression of record batches with a size limit, by Kafka's codec numbers."""

from __future__ import annotations

import struct
from typing import Final

import cramjam

from stepwell_ingestor.errors import BatchTooLargeError
from stepwell_schemas.compression import Coding, expand
from stepwell_schemas.errors import ExpansionError

GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4
"""Kafka's codec numbers, as in the attributes of a record batch."""

_STREAMED: Final[dict[int, Coding]] = {GZIP: "gzip", LZ4: "lz4", ZSTD: "zstd"}
# Java's snappy writes its own header (a magic, two versions), then blocks, each preceded by its length.
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_LENGTH: Final = struct.Struct(">i")


def decompress(codec: int, data: memoryview, limit: int) -> bytes:
    """Decompress data.

    Raises:
        BatchTooLargeError: if the result exceeds `limit` bytes.
        ValueError, OSError, RuntimeError: if the codec is unknown or the data is corrupt.
    """
    if codec == SNAPPY:
        return _snappy(data, limit)
    if codec not in _STREAMED:
        raise ValueError(f"compression codec {codec} is unknown")
    try:
        return expand(_STREAMED[codec], data, limit)
    except ExpansionError as error:
        raise BatchTooLargeError(limit) from error


def _snappy(data: memoryview, limit: int) -> bytes:
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(data, limit)
    blocks: list[bytes] = []
    place = _XERIAL_HEADER_BYTES
    while place < len(data):
        (size,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if not 0 <= size <= len(data) - place:
            raise ValueError(f"a snappy block announces {size} bytes; {len(data) - place} are left")
        blocks.append(_snappy_block(data[place : place + size], limit))
        limit -= len(blocks[-1])
        place += size
    return b"".join(blocks)


def _snappy_block(data: memoryview, limit: int) -> bytes:
    # The block begins with its decompressed size; the decompressor checks it.
    if cramjam.snappy.decompress_raw_len(data) > limit:
        raise BatchTooLargeError(limit)
    return bytes(cramjam.snappy.decompress_raw(data))
