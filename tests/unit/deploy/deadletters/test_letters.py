"""Names of dead letters, and descriptions of their events."""

from __future__ import annotations

import numpy as np
import pytest

from stepwell_deploy.deadletters.models import Letter, LetterName, describe, hex_dump
from stepwell_deploy.errors import NoLetterError
from stepwell_ingestor.messages import REDRIVEN_HEADER, origin_of
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch, MediaChunk
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import NO_STEP


@pytest.mark.parametrize(
    ("text", "partitions", "name"),
    [("17", [0], (0, 17)), ("0:17", [0], (0, 17)), ("2:0", [0, 1, 2], (2, 0)), ("5", [3], (3, 5))],
)
def test_a_name_is_an_offset_or_a_partition_and_an_offset(
    text: str, partitions: list[int], name: tuple[int, int]
) -> None:
    parsed = LetterName.parse(text, partitions)
    assert parsed == name
    assert LetterName.parse(parsed.short(len(partitions)), partitions) == name


@pytest.mark.parametrize(
    ("text", "partitions", "why"),
    [
        ("", [0], "a name is an offset"),
        ("-1", [0], "a name is an offset"),
        (":1", [0], "a name is an offset"),
        ("x:1", [0], "a name is an offset"),
        ("17", [0, 1], "write partition:17"),
        ("2:17", [0, 1], "has no partition 2"),
    ],
)
def test_a_name_that_no_letter_has_is_told_why(text: str, partitions: list[int], why: str) -> None:
    with pytest.raises(NoLetterError, match=f"there is no dead letter {text!r}: .*{why}"):
        LetterName.parse(text, partitions)


def test_a_batch_is_described_by_its_rows_steps_and_keys() -> None:
    batch = LogBatch(
        entity="e",
        project="p",
        run_id="r",
        writer="w",
        rows=3,
        timestamps=bytes(24),
        steps=np.array([NO_STEP, 7, 9], "<i8").tobytes(),
        blocks=[Block(kind=Kind.NUMBER, keys=["a", "b"], rows=np.array([0, 2], "<u4").tobytes(), packed=bytes(32))],
    )
    letter = Letter(LetterName(0, 0), 0, None, encode(batch), {})
    assert letter.event is not None
    assert list(describe(letter.event)) == [
        ("event", "LogBatch"),
        ("rows", "3"),
        ("steps asked for", "7 to 9, in 2 rows"),
        ("keys", "number, 2 rows: a, b"),
        ("entity", "e"),
        ("project", "p"),
        ("run_id", "r"),
        ("writer", "w"),
    ]


def test_bytes_of_an_event_are_counted_and_not_shown() -> None:
    chunk = MediaChunk(entity="e", project="p", run_id="r", sha256="0" * 64, index=0, count=1, size=5, data=b"12345")
    assert dict(describe(chunk))["data"] == "5 bytes"


def test_the_first_bytes_are_dumped() -> None:
    assert hex_dump(b"ab\x00\x7f") == f"00000000  {'61 62 00 7f':<48} ab.."
    lines = hex_dump(bytes(1_300)).splitlines()
    assert (len(lines), lines[15][:8], lines[16]) == (17, "000000f0", "… 1,044 bytes more")


@pytest.mark.parametrize(
    "headers", [{}, {"topic": "t", "partition": "x", "offset": "1"}, {"topic": "t", "partition": "0", "offset": "-1"}]
)
def test_headers_that_name_no_place_are_no_origin(headers: dict[str, str]) -> None:
    letter = Letter(LetterName(0, 0), 0, None, b"", headers)
    assert (letter.origin, letter.first_origin, letter.event_timestamp) == (None, "", None)


@pytest.mark.parametrize(
    ("headers", "event_id"),
    [
        ({}, "t/0/1"),
        ({"checksum": "00c0ffee"}, "t/0/1/00c0ffee"),
        ({"checksum": "x"}, "t/0/1"),
        ({"checksum": "00c0ffee", "redriven": "t/0/0/12345678"}, "t/0/0/12345678"),
        ({"checksum": "00c0ffee", "redriven": "t/0/0"}, "t/0/0"),
    ],
    ids=str,
)
def test_an_event_keeps_its_identity_through_redrives(headers: dict[str, str], event_id: str) -> None:
    letter = Letter(LetterName(0, 0), 0, None, b"", {"topic": "t", "partition": "0", "offset": "1", **headers})
    assert letter.event_id == event_id
    assert origin_of([(REDRIVEN_HEADER, event_id.encode())]) == event_id
    assert letter.first_origin == "/".join(event_id.split("/")[:3])
