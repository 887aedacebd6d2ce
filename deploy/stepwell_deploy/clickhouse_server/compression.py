"""Compression of bodies: HTTP's encodings in requests, and ClickHouse's own frames in requests and answers.

Its Java and Go clients ask for frames with `compress=1` and send them with `decompress=1`. A frame is a checksum of
all that follows in it (CityHash128 of version 1.0.2, 16 bytes), the method (0x82: LZ4), the bytes of the frame without
the checksum and those of the content (32 bits each, little-endian), and an LZ4 block.
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
_CODECS: Final[dict[str, Any]] = {
    "lz4": cramjam.lz4,
    "zstd": cramjam.zstd,
    "gzip": cramjam.gzip,
    "deflate": cramjam.zlib,
    "br": cramjam.brotli,
}
# The message of cramjam's error if the content does not fit.
_FULL: Final = "failed to write whole buffer"


def frames(content: bytes) -> Iterator[bytes]:
    """Yield content as frames, of a mebibyte each before it is compressed."""
    for start in range(0, len(content), _CONTENT_BYTES):
        part = content[start : start + _CONTENT_BYTES]
        packed = bytes(cramjam.lz4.compress_block(part, store_size=False))
        framed = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(part)) + packed
        checksum: int = CityHash128(framed)
        yield _CHECKSUM.pack(checksum >> 64, checksum & _HALF) + framed


class BodyTooLargeError(ValueError):
    """Content that exceeds the limit, before or after decompression."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it may have {limit:,} bytes at most")


def decompressed(content: bytes, encoding: str, limit: int) -> bytes:
    """Return the content of a body with a Content-Encoding; memory is bounded by `limit`, whatever the body is.

    Raises:
        BodyTooLargeError: when the content has more than `limit` bytes.
        ValueError: when the encoding is unknown or the body is broken.
    """
    if encoding in {"", "identity"}:
        return content
    if encoding not in _CODECS:
        raise ValueError(f"Content-Encoding {encoding!r} is unknown; known are {', '.join(_CODECS)}")
    # The kernel allocates its pages when they are written to.
    room = bytearray(limit)
    try:
        size = _CODECS[encoding].decompress_into(content, room)
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise BodyTooLargeError(limit) from error
        raise ValueError(str(error)) from error
    return bytes(memoryview(room)[:size])


def unframed(content: bytes, limit: int) -> bytes:
    """Return the content of ClickHouse's own frames, which clients send with `decompress=1`.

    Raises:
        BodyTooLargeError: when the frames hold more than `limit` bytes.
        ValueError: when a frame is broken.
    """
    parts: list[bytes] = []
    left, start = limit, 0
    view = memoryview(content)
    while start < len(view):
        body = start + _CHECKSUM.size
        if len(view) < body + _HEADER.size:
            raise ValueError("a compressed frame is cut off")
        method, packed_bytes, part_bytes = _HEADER.unpack_from(view, body)
        end = body + packed_bytes
        if packed_bytes < _HEADER.size or len(view) < end:
            raise ValueError("a compressed frame is cut off")
        left -= part_bytes
        if left < 0:
            raise BodyTooLargeError(limit)
        high, low = _CHECKSUM.unpack_from(view, start)
        if int(CityHash128(bytes(view[body:end]))) != high << 64 | low:
            raise ValueError("a compressed frame has a wrong checksum")
        parts.append(_unpacked(method, bytes(view[body + _HEADER.size : end]), part_bytes))
        start = end
    return b"".join(parts)


def _unpacked(method: int, packed: bytes, size: int) -> bytes:
    room = bytearray(size)
    try:
        match method:
            case 0x02:
                part = packed
            case 0x82:
                part = bytes(cramjam.lz4.decompress_block(packed, output_len=size))
            case 0x90:
                part = bytes(memoryview(room)[: cramjam.zstd.decompress_into(packed, room)])
            case _:
                raise ValueError(f"the compression method {method:#x} of a frame is unknown")
    except cramjam.DecompressionError as error:
        raise ValueError(f"a compressed frame is broken: {error}") from error
    if len(part) != size:
        raise ValueError("a compressed frame has another size than it says")
    return part
