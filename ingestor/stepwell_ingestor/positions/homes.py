"""Recognise events of runs that moved to another partition because partitions were added to the topic; pure.

Kafka lets anybody add partitions, and its clients then choose another partition for most keys. The state of a run is
that of one partition, so such an event must not be planned after it arrived in another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2

from stepwell_ingestor.messages import Message

_POSITIVE: Final = 0x7FFFFFFF
_KEYS: Final = 16_384


@lru_cache(maxsize=_KEYS)
def home_partition(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's clients choose for a key among a number of partitions."""
    hashed: int = murmur2(key)
    return (hashed & _POSITIVE) % partitions


def may_have_moved(messages: Iterable[Message], partition: int, partitions: int) -> bool:
    """Return True if an event's key belongs to another partition than the one that it was read from.

    Producers with another rule for keys have such events too, so the topic's number of partitions decides.
    """
    keys = {message.key for message in messages if message.key}
    return any(home_partition(key, partitions) != partition for key in keys)
