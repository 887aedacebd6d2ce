"""An insert's token names its flush and its table, and nothing else."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from stepwell_ingestor.flush.flusher import insert_token
from stepwell_ingestor.messages import Message

FLUSH = (
    TopicPartition("events", 0),
    [Message(5, 1_000, None, b"first"), Message(6, 1_000, None, b"second")],
    9,
    "series",
)


def test_a_flush_that_is_repeated_has_the_same_token() -> None:
    partition, messages, end, table = FLUSH
    assert insert_token(partition, list(messages), end, table) == insert_token(*FLUSH)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((TopicPartition("others", 0), *FLUSH[1:]), id="topic"),
        pytest.param((TopicPartition("events", 1), *FLUSH[1:]), id="partition"),
        pytest.param((FLUSH[0], FLUSH[1][1:], *FLUSH[2:]), id="first offset"),
        pytest.param((FLUSH[0], [Message(5, 1_001, None, b"first")], *FLUSH[2:]), id="time of the first record"),
        pytest.param((FLUSH[0], [Message(5, 1_000, None, b"other")], *FLUSH[2:]), id="first record"),
        pytest.param((*FLUSH[:2], 10, FLUSH[3]), id="end"),
        pytest.param((*FLUSH[:3], "run_states"), id="table"),
    ],
)
def test_another_flush_or_table_has_another_token(other: tuple[TopicPartition, list[Message], int, str]) -> None:
    assert insert_token(*other) != insert_token(*FLUSH)
