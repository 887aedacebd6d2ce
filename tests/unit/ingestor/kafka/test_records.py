"""Every offset of a log becomes a record or a name of what can't be read, whatever the bytes are."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import cramjam
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_ingestor.errors import BatchTooLargeError
from stepwell_ingestor.kafka import records as subject
from stepwell_ingestor.kafka.decompression import GZIP, LZ4, SNAPPY, ZSTD, decompress
from stepwell_ingestor.kafka.record_consumer import to_message
from stepwell_ingestor.kafka.record_models import BatchHeader, Record, Unreadable
from stepwell_ingestor.kafka.records import PartitionRecords, RecordBatches
from stepwell_ingestor.kafka.single_records import read_each_record
from stepwell_schemas.limits import MAX_BATCH_BYTES
from support.factories.odd_records import CODECS, batch, bomb, record, text, varint, xerial

BUCKET_ID = TopicPartition("events", 3)
COMPRESSED = [GZIP, SNAPPY, LZ4, ZSTD]


def read(data: bytes, position: int = 0) -> list[Record | Unreadable]:
    """Return what a fetch at a position gives."""
    return list(PartitionRecords(BUCKET_ID, RecordBatches(data), None, position))


def ranges(items: Sequence[Record | Unreadable]) -> list[tuple[int, int] | int]:
    """Return the offsets of records, and the first and last one of what can't be read."""
    return [(item.first, item.offset) if isinstance(item, Unreadable) else item.offset for item in items]


def good(base: int, compression: int = 0, number: int = 3) -> bytes:
    return batch([record(b"v%d" % delta, delta) for delta in range(number)], base=base, compression=compression)


@pytest.mark.parametrize("compression", CODECS)
def test_records_are_read_in_every_codec(compression: int) -> None:
    items = read(good(5, compression), 5)
    assert [(item.offset, item.value) for item in items if isinstance(item, Record)] == [
        (5, b"v0"),
        (6, b"v1"),
        (7, b"v2"),
    ]


def by_leader(epoch: int, data: bytes) -> bytes:
    """Return a batch as a broker stores it, with its leader epoch, which the checksum does not cover."""
    return data[:12] + struct.pack(">i", epoch) + data[16:]


def test_the_leader_that_appended_a_record_is_known() -> None:
    broken = bytearray(record(b"v", 1))
    broken[4] = 0x7E  # the key's length
    data = by_leader(7, batch([record(b"a"), bytes(broken), record(b"b", 2)])) + by_leader(8, good(3, ZSTD))
    data += by_leader(9, batch([record(b"a"), varint(10_000)], base=6))
    epochs = [to_message(item).leader_epoch for item in read(data)]
    assert epochs == [7, 7, 7, 8, 8, 8, 9, 9]


def test_a_fetch_begins_at_its_position_and_leaves_a_cut_batch() -> None:
    data = good(5) + good(8)
    assert ranges(read(data[:-1], 6)) == [6, 7]


def test_names_of_headers_that_are_not_utf8_are_replaced() -> None:
    odd = batch([record(b"v", headers=[(b"\xff", b"x"), (b"ok", None)])])
    assert read(odd + good(1)) == [
        Record("events", 3, 0, 1_760_000_000_000, b"k", b"v", (("\ufffd", b"x"), ("ok", None))),
        *read(good(1), 1),
    ]


def test_a_record_that_is_broken_inside_is_stepped_over_alone() -> None:
    broken = bytearray(record(b"v", 1))
    broken[4] = 0x7E  # the key's length
    assert ranges(read(batch([record(b"a"), bytes(broken), record(b"b", 2)]))) == [0, (1, 1), 2]


def test_a_record_whose_length_is_broken_ends_its_batch() -> None:
    data = batch([record(b"a"), varint(10_000), record(b"b", 2)]) + good(3)
    assert ranges(read(data)) == [0, (1, 2), 3, 4, 5]


@pytest.mark.parametrize("delta", [-1, 0, 7, 2**31 - 1, -(2**31)])
def test_an_offset_out_of_turn_does_not_move_the_reader(delta: int) -> None:
    data = batch([record(b"a"), record(b"b", delta), record(b"c", 2)]) + good(3)
    assert ranges(read(data)) == [0, (1, 1), 2, 3, 4, 5]


@pytest.mark.parametrize("place", [17, 21, 40, 61, -1])
def test_a_batch_whose_checksum_is_wrong_is_stepped_over_whole(place: int) -> None:
    broken = bytearray(good(5))
    broken[place] ^= 0x40
    assert ranges(read(bytes(broken) + good(8), 5)) == [(5, 7), 8, 9, 10]
    assert ranges(read(bytes(broken) + good(8), 6)) == [(5, 7), 8, 9, 10]


def test_where_the_header_disagrees_the_next_offset_is_tried() -> None:
    broken = bytearray(good(5))
    struct.pack_into(">i", broken, 23, 2**31 - 1)
    assert ranges(read(bytes(broken), 5))[0] == (5, 5)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_data_that_does_not_decompress_is_stepped_over(compression: int) -> None:
    packed = CODECS[compression](record(b"v" * 1_000) + bytes(random.Random(1).randbytes(2_000)))
    for cut in (0, 1, 5, len(packed) // 2, len(packed) - 1):
        data = batch([], compression=compression, packed=packed[:cut], count=2)
        assert ranges(read(data + good(2))) == [(0, 1), 2, 3, 4]


@pytest.mark.parametrize("compression", [5, 6, 7])
def test_an_unknown_codec_is_stepped_over(compression: int) -> None:
    items = read(batch([record(b"v")], attributes=compression) + good(1))
    assert ranges(items) == [(0, 0), 1, 2, 3]


@pytest.mark.parametrize("compression", COMPRESSED)
def test_decompression_stops_at_its_bound(compression: int) -> None:
    items = read(bomb(compression, MAX_BATCH_BYTES) + good(1))
    assert ranges(items) == [(0, 0), 1, 2, 3]
    assert isinstance(items[0], Unreadable)
    assert items[0].detail.startswith("BatchTooLargeError")
    assert isinstance(read(bomb(compression, MAX_BATCH_BYTES - 100))[0], Record)


def test_snappy_blocks_are_bounded_together() -> None:
    block = bytes(cramjam.snappy.compress_raw(bytes(600)))
    framed = xerial(bytes(600), len(block)) + struct.pack(">i", len(block)) + block
    assert len(decompress(SNAPPY, memoryview(framed), 1_200)) == 1_200
    with pytest.raises(BatchTooLargeError):
        decompress(SNAPPY, memoryview(framed), 1_199)
    for size in (-1, 2**31 - 1):
        with pytest.raises(ValueError, match="snappy block"):
            decompress(SNAPPY, memoryview(xerial(b"x", size)), 1_000)


def test_batches_without_records_and_markers_only_move_the_reader() -> None:
    empty = batch([], count=0, last_delta=3)
    marker = batch([record(b"\x00" * 6, key=b"\x00\x00\x00\x01")], base=4, attributes=0x30)
    records = PartitionRecords(BUCKET_ID, RecordBatches(empty + marker), None, 0)
    assert list(records) == []
    assert records.next_fetch_offset == 5


@pytest.mark.parametrize("time", [-(2**63), -1, 2**63 - 1])
def test_times_are_read_as_they_are(time: int) -> None:
    for compression in (0, GZIP):
        item = read(batch([record(b"v", headers=[(b"\xff", b"")])], times=(time, time), compression=compression))[0]
        assert item.timestamp == time


@given(st.randoms(use_true_random=False), st.sampled_from(list(CODECS)))
@settings(max_examples=300, deadline=None)
def test_mutated_batches_end_and_move_the_reader(rng: random.Random, compression: int) -> None:
    data = bytearray(good(0, compression) + good(3, compression) + good(6, compression))
    fixed = rng.random() < 0.5
    for _ in range(rng.randint(1, 5)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    body = bytes(data[61 : len(good(0, compression))])
    whole = batch([], packed=body, compression=compression, count=3) if fixed else bytes(data)
    records = PartitionRecords(BUCKET_ID, RecordBatches(whole), None, 0)
    offsets = [item.offset for item in records]
    assert offsets == sorted(set(offsets))
    assert records.next_fetch_offset > 0
    assert all(offset < records.next_fetch_offset for offset in offsets)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_batch_do_not_stop_the_reader(data: bytes) -> None:
    batches = RecordBatches(data)
    if batches.has_next():
        records = PartitionRecords(BUCKET_ID, batches, None, 7)
        assert all(item.offset >= 7 for item in records)
        assert records.next_fetch_offset > 7


def test_what_cannot_be_read_becomes_a_message_with_its_fault() -> None:
    message = to_message(Unreadable("events", 3, 5, 7, 1, "broken"))
    assert (message.offset, message.value, message.fault) == (7, b"", (5, "broken"))


def test_the_redriven_header_counts_in_its_own_form_alone() -> None:
    def origin(*headers: tuple[str, bytes | None]) -> str:
        return to_message(Record("events", 3, 5, 1, None, b"v", headers)).origin

    assert origin(("redriven", b"stepwell.events/3/12")) == "stepwell.events/3/12"
    assert origin(("redriven", None), ("redriven", b"e/0/1")) == "e/0/1"
    for odd in (None, b"", b"\xff", b"e/0", b"e/0/x", b"a/b/0/1", b"x" * 300 + b"/0/1"):
        assert origin(("redriven", odd)) == ""


def test_the_python_reader_agrees_with_the_extension() -> None:
    records = [record(b"v%d" % n, n, key=None if n else b"k", headers=[(b"h", None), (b"g", b"x")]) for n in range(5)]
    data = batch(records, times=(10, 20))
    header = BatchHeader(*subject._HEADER.unpack_from(data))
    assert list(read_each_record(BUCKET_ID, header, b"".join(records))) == read(data)
    assert text(None) == varint(-1)
