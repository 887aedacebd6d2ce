"""The Kafka topics: their partitions, replicas and configuration as pure functions, and what an existing topic lacks.

A topic that exists is never changed. Differences are reported, and those that would break the order of events are
refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stepwell_schemas.errors import TopicError
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB

EVENTS_MAX_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + MIB
"""A record batch holds an event and its framing."""

DEADLETTERS_MAX_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + 2 * MIB
"""A dead letter holds the original event, headers and framing."""

_REPLICAS: Final = 3
_IN_SYNC: Final = 2
_MILLISECONDS_A_DAY: Final = 86_400_000
_UNLIMITED: Final = "-1"
# Smaller is a difference for these; for the others any other value is.
_AT_LEAST: Final = frozenset({"max.message.bytes", "retention.ms", "min.insync.replicas"})


class TopicOptions(NamedTuple):
    """Options of both topics. 0 stands for a default: of replicas by the number of brokers, of days for no limit."""

    replication_factor: int = 0
    min_insync_replicas: int = 0
    events_retention_days: int = 0
    deadletters_partitions: int = 1
    deadletters_retention_days: int = 0


class TopicSpec(NamedTuple):
    """A topic as it should be. `partitions` is None if any number will do."""

    name: str
    partitions: int | None
    replicas: int
    config: Mapping[str, str]


class ExistingTopic(NamedTuple):
    """A topic as the brokers describe it; `replicas` is the smallest number over its partitions."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


class TopicDifference(NamedTuple):
    """A property in which an existing topic differs from the settings."""

    topic: str
    name: str
    present: str
    expected: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.name} is {self.present}, and not {self.expected}"


def replicas(options: TopicOptions, brokers: int) -> int:
    """Return the replication factor: three, or as many as there are brokers, unless it is set.

    Raises:
        TopicError: if more replicas are set than there are brokers.
    """
    if options.replication_factor > brokers:
        raise TopicError(
            f"STEPWELL_TOPIC_REPLICATION_FACTOR is {options.replication_factor}, but the cluster has {brokers} "
            f"{'broker' if brokers == 1 else 'brokers'}; start the others first, or set it lower"
        )
    return options.replication_factor or min(_REPLICAS, brokers)


def min_insync_replicas(options: TopicOptions, replicas: int) -> int:
    """Return `min.insync.replicas`: 2 for a topic with three replicas or more, otherwise 1, unless it is set.

    With 2 of 3, one broker may be down, and an event is acknowledged once two brokers have it.

    Raises:
        TopicError: if more are set than there are replicas, in which case no event would be accepted.
    """
    if options.min_insync_replicas > replicas:
        raise TopicError(
            f"STEPWELL_TOPIC_MIN_INSYNC_REPLICAS is {options.min_insync_replicas}, and the topic has {replicas} "
            f"{'replica' if replicas == 1 else 'replicas'}: the brokers would accept nothing; set it lower"
        )
    return options.min_insync_replicas or (_IN_SYNC if replicas >= _REPLICAS else 1)


def topic_config(max_message_bytes: int, retention_days: int, min_insync: int) -> dict[str, str]:
    """Return a topic's configuration. What a broker's own default could make worse is always set."""
    return {
        "cleanup.policy": "delete",
        "max.message.bytes": str(max_message_bytes),
        "min.insync.replicas": str(min_insync),
        "retention.ms": str(retention_days * _MILLISECONDS_A_DAY) if retention_days else _UNLIMITED,
        # A limit in bytes removes events whatever their age.
        "retention.bytes": _UNLIMITED,
        # A replica that lacks acknowledged events must not become the leader: they would be gone for good.
        "unclean.leader.election.enable": "false",
    }


def topic_specs(
    events: str, deadletters: str, partitions: int | None, options: TopicOptions, brokers: int
) -> tuple[TopicSpec, TopicSpec]:
    """Return the topics of events and of dead letters. Raises: TopicError if the options exclude one another."""
    count = replicas(options, brokers)
    insync = min_insync_replicas(options, count)
    return (
        TopicSpec(
            events, partitions, count, topic_config(EVENTS_MAX_MESSAGE_BYTES, options.events_retention_days, insync)
        ),
        TopicSpec(
            deadletters,
            options.deadletters_partitions,
            count,
            topic_config(DEADLETTERS_MAX_MESSAGE_BYTES, options.deadletters_retention_days, insync),
        ),
    )


def check_partitions(spec: TopicSpec, existing: ExistingTopic) -> None:
    """Raise TopicError if an existing topic of events has another number of partitions than is set."""
    if spec.partitions is None or spec.partitions == existing.partitions:
        return
    raise TopicError(
        f"the topic {spec.name} has {existing.partitions} partitions, and STEPWELL_EVENTS_PARTITIONS is "
        f"{spec.partitions}. The partition of a run follows from their number, and the order of a run's events is that "
        f"of its partition, so the number stays: set STEPWELL_EVENTS_PARTITIONS={existing.partitions}, or leave it "
        "unset. For another number, name a new topic with STEPWELL_EVENTS_TOPIC while nothing logs and nothing waits"
    )


def topic_differences(spec: TopicSpec, existing: ExistingTopic) -> list[TopicDifference]:
    """Return the properties in which an existing topic is worse than it should be, or other.

    More replicas, larger messages, a longer retention and more replicas in sync than expected are no differences.
    """
    found = []
    if spec.partitions is not None and spec.partitions != existing.partitions:
        found.append(TopicDifference(spec.name, "partitions", str(existing.partitions), str(spec.partitions)))
    if existing.replicas < spec.replicas:
        found.append(TopicDifference(spec.name, "replication.factor", str(existing.replicas), str(spec.replicas)))
    # With fewer replicas than expected, more of them in sync can't be had.
    for name, expected in _capped(spec, existing).items():
        present = existing.config.get(name)
        if present is not None and not _suffices(name, present, expected):
            found.append(TopicDifference(spec.name, name, present, expected))
    return found


def _capped(spec: TopicSpec, existing: ExistingTopic) -> dict[str, str]:
    insync = min(int(spec.config["min.insync.replicas"]), max(existing.replicas - 1, 1))
    return {**spec.config, "min.insync.replicas": str(insync)}


def _suffices(name: str, present: str, expected: str) -> bool:
    if name not in _AT_LEAST:
        return present == expected
    if _UNLIMITED in {present, expected}:
        return present == _UNLIMITED
    return int(present) >= int(expected)


def replicas_of(partitions: Sequence[Mapping[str, object]]) -> int:
    """Return the smallest number of replicas over a topic's described partitions; 1 if there are none."""
    return min((len(part["replicas"]) for part in partitions if isinstance(part["replicas"], list)), default=1)
