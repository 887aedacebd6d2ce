"""How bodies are compressed: by HTTP's encodings in requests, and by ClickHouse's own frames in answers.

Its Java and Go clients ask for frames with `compress=1`. A frame is a checksum of all that follows in it (CityHash128
of version 1.0.2, 16 bytes), the method (0x82: LZ4), the bytes of the frame without the checksum and those of the
content (32 bits each, little-endian), and an LZ4 block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import cramjam
from clickhouse_cityhash.cityhash import CityHash128

_LZ4: Final = 0x82
_HEADER: Final = struct.Struct("<BII")
_CHECKSUM: Final = struct.Struct("<QQ")
_HALF: Final = 2**64 - 1
_CONTENT_BYTES: Final = 1 << 20


def frames(content: bytes) -> Iterator[bytes]:
    """Yield content as frames, of a mebibyte each before it is compressed."""
    for start in range(0, len(content), _CONTENT_BYTES):
        part = content[start : start + _CONTENT_BYTES]
        packed = bytes(cramjam.lz4.compress_block(part, store_size=False))
        framed = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(part)) + packed
        checksum: int = CityHash128(framed)
        yield _CHECKSUM.pack(checksum >> 64, checksum & _HALF) + framed


def decompressed(content: bytes, encoding: str) -> bytes:
    """Return what a body of a Content-Encoding holds. Raises: ValueError, cramjam.DecompressionError."""
    if encoding in {"", "identity"}:
        return content
    codecs: dict[str, Any] = {
        "lz4": cramjam.lz4,
        "zstd": cramjam.zstd,
        "gzip": cramjam.gzip,
        "deflate": cramjam.zlib,
        "br": cramjam.brotli,
    }
    if encoding not in codecs:
        raise ValueError(f"Content-Encoding {encoding!r} is unknown; known are {', '.join(codecs)}")
    return bytes(codecs[encoding].decompress(content))
