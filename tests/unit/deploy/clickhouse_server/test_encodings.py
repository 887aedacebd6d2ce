"""Bodies are bounded before and after they are decompressed."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import cramjam
import pytest
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.clickhouse_server.compression import BodyTooLargeError, decompressed, frames, unframed

MIB = 1 << 20
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda content: bytes(cramjam.zstd.compress(content)),
    "lz4": lambda content: bytes(cramjam.lz4.compress(content)),
    "br": lambda content: bytes(cramjam.brotli.compress(content)),
}


@pytest.mark.parametrize("encoding", list(CODECS))
def test_content_comes_back(encoding: str) -> None:
    for content in (b"", b"SELECT 1", bytes(range(256)) * 4096):
        assert decompressed(CODECS[encoding](content), encoding, MIB) == content


@pytest.mark.parametrize("encoding", list(CODECS))
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: str) -> None:
    bomb = CODECS[encoding](b"\0" * (8 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            decompressed(bomb, encoding, MIB)
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", list(CODECS))
@given(content=st.binary(max_size=200))
def test_what_is_no_such_encoding_is_refused(encoding: str, content: bytes) -> None:
    with suppress(ValueError):
        assert len(decompressed(content, encoding, MIB)) <= MIB


@given(st.binary(max_size=3000))
def test_frames_come_back(content: bytes) -> None:
    assert unframed(b"".join(frames(content)), MIB) == content


def frame(method: int, packed: bytes, size: int) -> bytes:
    body = struct.pack("<BII", method, 9 + len(packed), size) + packed
    checksum = int(CityHash128(body))
    return struct.pack("<QQ", checksum >> 64, checksum & (2**64 - 1)) + body


def test_frames_of_other_methods_are_read() -> None:
    assert unframed(frame(0x02, b"ab", 2) + frame(0x90, CODECS["zstd"](b"cd"), 2), MIB) == b"abcd"


def test_frames_that_hold_too_much_are_refused_unread() -> None:
    with pytest.raises(BodyTooLargeError):
        unframed(frame(0x82, b"x", 2**32 - 1), MIB)
    part = b"".join(frames(b"\0" * MIB))
    with pytest.raises(BodyTooLargeError):
        unframed(part * 3, 2 * MIB)


@pytest.mark.parametrize(
    "broken",
    [
        frame(0x82, b"x", 100),
        frame(0x90, b"x", 100),
        frame(0x02, b"ab", 3),
        frame(0x55, b"ab", 2),
        frame(0x02, b"ab", 2)[:-1],
        b"\0" + frame(0x02, b"ab", 2)[1:],
        struct.pack("<QQBII", 0, 0, 0x82, 0, 5),
        b"\0" * 20,
    ],
)
def test_broken_frames_are_refused(broken: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its kind is all that matters
        unframed(broken, MIB)
