"""Kafka record batches as bytes, valid and broken, and a producer that sends them unchanged."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import cramjam
from aiokafka import TopicPartition, codec
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c, encode_varint

NOW: Final = 1_760_000_000_000
CODECS: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: bytes,
    1: codec.gzip_encode,
    2: codec.snappy_encode,
    3: partial(codec.lz4_encode, level=1),
    4: partial(codec.zstd_encode, level=1),
}
_TIMEOUT_MILLISECONDS: Final = 30_000
Headers = Sequence[tuple[bytes | None, bytes | None]]


class OddBatch(NamedTuple):
    """A batch that a broker accepts: its anomaly, its bytes, and the number of its records."""

    name: str
    data: bytes
    records: int = 1


def varint(value: int) -> bytes:
    """Return Kafka's zigzag varint of a number."""
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)


def text(value: bytes | None) -> bytes:
    """Return a nullable field with its length."""
    return varint(-1) if value is None else varint(len(value)) + value


def record(
    value: bytes | None, delta: int = 0, key: bytes | None = b"k", headers: Headers = (), time_delta: int = 0
) -> bytes:
    """Return one record of a batch."""
    fields = b"\x00" + varint(time_delta) + varint(delta) + text(key) + text(value) + varint(len(headers))
    body = fields + b"".join(text(name) + text(content) for name, content in headers)
    return varint(len(body)) + body


def batch(
    records: Sequence[bytes],
    *,
    compression: int = 0,
    attributes: int = 0,
    base: int = 0,
    times: tuple[int, int] = (NOW, NOW),
    count: int | None = None,
    last_delta: int | None = None,
    packed: bytes | None = None,
) -> bytes:
    """Return a batch with a right checksum; `packed` stands for its compressed records."""
    joined = b"".join(records)
    body = CODECS[compression](joined) if packed is None else packed
    number = len(records) if count is None else count
    fields = (
        attributes | compression, number - 1 if last_delta is None else last_delta, *times, -1, -1, -1, number,
    )  # fmt: skip
    checked = struct.pack(">hiqqqhii", *fields) + body
    return struct.pack(">qiibI", base, len(checked) + 9, -1, 2, calc_crc32c(checked)) + checked


def bomb(compression: int, size: int) -> bytes:
    """Return a batch of one record of zeros, compressed without allocating them."""
    if compression == 1:
        head, tail = _record_around(size)
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        pieces = [packer.compress(head)]
        pieces += [packer.compress(bytes(min(1 << 20, size - start))) for start in range(0, size, 1 << 20)]
        return batch([], compression=1, count=1, packed=b"".join([*pieces, packer.compress(tail), packer.flush()]))
    head, tail = _record_around(size)
    whole = head + bytes(size) + tail
    return batch([], compression=compression, count=1, packed=CODECS[compression](whole))


def _record_around(size: int) -> tuple[bytes, bytes]:
    head = b"\x00" + varint(0) + varint(0) + text(b"k") + varint(size)
    tail = varint(0)
    return varint(len(head) + size + len(tail)) + head, tail


def xerial(payload: bytes, block: int) -> bytes:
    """Return Java's snappy framing of one block, whose length is given as `block`."""
    return b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, block) + bytes(cramjam.snappy.compress_raw(payload))


def odd_batches(good: bytes) -> Iterator[OddBatch]:
    """Yield batches with odd records; `good` is the bytes of an event, which some of them contain."""
    for name, headers in _odd_headers().items():
        yield OddBatch(f"header {name}", batch([record(good, headers=headers)]))
    yield OddBatch("no value", batch([record(None)]))
    yield OddBatch("no value and no key", batch([record(None, key=None)]))
    yield OddBatch("empty value", batch([record(b"")]))
    yield OddBatch("key of 200 KB", batch([record(b"poison", key=bytes(200_000))]))
    yield OddBatch("value of 8 MiB and more", batch([record(bytes(8 * 2**20 + 100_000))]))
    yield OddBatch("2,000 empty records", batch([record(b"", delta) for delta in range(2_000)]), 2_000)
    for time in (-1, 0, NOW - 10**12):
        yield OddBatch(f"time {time}", batch([record(good)], times=(time, time)))
    for compression in CODECS:
        mixed = [record(good), record(good, 1, headers=[(b"\xff\xfe", b"v")]), record(b"poison", 2)]
        yield OddBatch(f"codec {compression}", batch(mixed, compression=compression), 3)
    for compression in (1, 3, 4):
        yield OddBatch(f"20 MiB of zeros in codec {compression}", bomb(compression, 20 * 2**20))
        yield OddBatch(f"100 MiB of zeros in codec {compression}", bomb(compression, 100 * 2**20))


def _odd_headers() -> dict[str, Headers]:
    return {
        "redriven null": [(b"redriven", None)],
        "redriven empty": [(b"redriven", b"")],
        "redriven of another form": [(b"redriven", b"\xff\x00/\n" * 100)],
        "redriven of 100 KB": [(b"redriven", b"x" * 100_000)],
        "redriven twice": [(b"redriven", None), (b"redriven", b"events/0/1")],
        "name not UTF-8": [(b"\xff\xfe\xc3\x28", b"v")],
        "name empty": [(b"", b"")],
        "name with NUL": [(b"\x00", None)],
        "1,000 of them": [(b"h%d" % number, bytes(10)) for number in range(1_000)],
    }


async def produce(broker: str, topic: str, batches: Sequence[bytes], partition: int = 0) -> list[str]:
    """Send batches unchanged; return the broker's answers, "" for each batch that it accepted."""
    client = AIOKafkaClient(bootstrap_servers=broker, request_timeout_ms=_TIMEOUT_MILLISECONDS)
    await client.bootstrap()
    answers = []
    try:
        await client._wait_on_metadata(topic)
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        for data in batches:
            request = ProduceRequest(
                transactional_id=None,
                required_acks=-1,
                timeout=_TIMEOUT_MILLISECONDS,
                topics=[(topic, [(partition, data)])],
            )
            response = await asyncio.wait_for(client.send(node, request), _TIMEOUT_MILLISECONDS)
            code = response.topics[0][1][0][1]
            answers.append(for_code(code).__name__ if code else "")
    finally:
        await client.close()
    return answers
