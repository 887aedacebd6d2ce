"""An insert's token names its flush and its table, and nothing else; a plan is for exact records."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from aiokafka import TopicPartition

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.tokens import flush_range, insert_token, make_plan
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.models import PlanMark, parse_plan

FLUSH: dict[str, Any] = {
    "partition": TopicPartition("events", 0),
    "messages": [Message(5, 1_000, None, b"first"), Message(6, 1_000, None, b"second")],
    "end": 9,
    "table": "series",
    "epoch": 1,
    "base": 0,
}


def token(partition: TopicPartition, messages: list[Message], end: int, table: str, epoch: int, base: int) -> str:
    """Return the token of an insert of a new flush."""
    return insert_token(partition, flush_range(messages, make_plan(messages, end, epoch, None), base), table)


def test_a_flush_that_is_repeated_has_the_same_token() -> None:
    plan = make_plan(FLUSH["messages"], 9, 1, None)
    found = make_plan(FLUSH["messages"], 9, 4, parse_plan(plan.text))
    repeated = insert_token(FLUSH["partition"], flush_range(FLUSH["messages"], found, 0), "series")
    assert repeated == token(**FLUSH)


@pytest.mark.parametrize(
    "other",
    [
        {"partition": TopicPartition("others", 0)},
        {"partition": TopicPartition("events", 1)},
        {"messages": FLUSH["messages"][1:]},
        {"messages": [Message(5, 1_001, None, b"first"), FLUSH["messages"][1]]},
        {"messages": [Message(5, 1_000, None, b"other"), FLUSH["messages"][1]]},
        {"messages": [Message(5, 1_000, b"", b"first"), FLUSH["messages"][1]]},
        {"messages": [FLUSH["messages"][0], Message(6, 1_000, None, b"other")]},
        {"messages": [FLUSH["messages"][0], Message(7, 1_000, None, b"second")]},
        {"end": 10},
        {"table": "run_states"},
        {"epoch": 2},
        {"base": 1 << 24},
    ],
    ids=str,
)
def test_another_flush_or_table_has_another_token(other: dict[str, Any]) -> None:
    assert token(**FLUSH | other) != token(**FLUSH)


def test_a_plan_of_an_earlier_version_has_its_tokens() -> None:
    found = parse_plan("9")
    assert found == PlanMark(9, None, 0)
    plan = make_plan(FLUSH["messages"], 9, 0, found)
    assert plan.text == "9"
    checksum = zlib.crc32(b"first")
    expected = f"events:0:5:9:1000:{checksum:08x}:series"
    assert insert_token(FLUSH["partition"], flush_range(FLUSH["messages"], plan, 0), "series") == expected


@pytest.mark.parametrize("place", [0, 1])
def test_a_plan_is_for_its_records_only(place: int) -> None:
    found = make_plan(FLUSH["messages"], 9, 1, None)
    messages = list(FLUSH["messages"])
    messages[place] = messages[place]._replace(value=b"another")
    with pytest.raises(PlanError):
        make_plan(messages, 9, 1, found)


@pytest.mark.parametrize("text", ["", "x", "-1", "5:1", "5:0000000g:1", "5:00000000", "5 ", "٥"])
def test_other_metadata_is_no_plan(text: str) -> None:
    assert parse_plan(text) is None
