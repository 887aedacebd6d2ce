"""The Kafka topics as they should be, and the comparison of existing ones with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import TopicError
from stepwell_schemas.limits import LETTER_VALUE_MAX_BYTES, MAX_EVENT_BYTES
from stepwell_schemas.topics import (
    ExistingTopic,
    TopicOptions,
    TopicSpec,
    check_partitions,
    min_insync_replicas,
    replicas,
    replicas_of,
    topic_config,
    topic_differences,
    topic_specs,
)


def specs(brokers: int = 3, partitions: int | None = 4, **options: int) -> tuple[TopicSpec, TopicSpec]:
    return topic_specs("events", "letters", partitions, TopicOptions(**options), brokers)


def existing(spec: TopicSpec, **changes: str) -> ExistingTopic:
    """Return the topic that a specification makes, with other values in its configuration."""
    return ExistingTopic(spec.name, spec.partitions or 4, spec.replicas, {**spec.config, **changes})


@pytest.mark.parametrize(("brokers", "copies", "insync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (9, 3, 2)])
def test_replicas_follow_the_number_of_brokers(brokers: int, copies: int, insync: int) -> None:
    for spec in specs(brokers):
        assert (spec.replicas, spec.config["min.insync.replicas"]) == (copies, str(insync))


def test_settings_have_precedence_over_the_number_of_brokers() -> None:
    events, letters = specs(
        5,
        replication_factor=4,
        min_insync_replicas=3,
        events_retention_days=2,
        deadletters_partitions=2,
        deadletters_retention_days=7,
    )
    assert (events.replicas, events.config["min.insync.replicas"], events.config["retention.ms"]) == (
        4,
        "3",
        "172800000",
    )
    assert (letters.partitions, letters.config["retention.ms"]) == (2, "604800000")
    assert min_insync_replicas(TopicOptions(min_insync_replicas=2), 2) == 2


def test_what_can_not_be_had_is_refused() -> None:
    with pytest.raises(TopicError):
        replicas(TopicOptions(replication_factor=2), 1)
    with pytest.raises(TopicError):
        min_insync_replicas(TopicOptions(min_insync_replicas=2), 1)


def test_nothing_is_removed_and_the_largest_messages_fit_by_default() -> None:
    events, letters = specs()
    for spec in (events, letters):
        assert spec.config["retention.ms"] == spec.config["retention.bytes"] == "-1"
        assert (spec.config["cleanup.policy"], spec.config["unclean.leader.election.enable"]) == ("delete", "false")
    assert int(events.config["max.message.bytes"]) > MAX_EVENT_BYTES
    assert int(letters.config["max.message.bytes"]) > LETTER_VALUE_MAX_BYTES


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3_650))
def test_what_was_created_does_not_differ(brokers: int, factor: int, days: int) -> None:
    for spec in specs(brokers, replication_factor=min(factor, brokers), events_retention_days=days):
        assert topic_differences(spec, existing(spec)) == []


@pytest.mark.parametrize(
    ("name", "value", "differs"),
    [
        ("retention.ms", "604800000", True),
        ("retention.bytes", "1000000", True),
        ("max.message.bytes", "1048588", True),
        ("max.message.bytes", "99999999", False),
        ("min.insync.replicas", "1", True),
        ("min.insync.replicas", "3", False),
        ("unclean.leader.election.enable", "true", True),
        ("cleanup.policy", "compact", True),
        ("compression.type", "zstd", False),
    ],
)
def test_what_is_worse_than_it_should_be_is_a_difference(name: str, value: str, differs: bool) -> None:
    spec, _ = specs()
    found = topic_differences(spec, existing(spec, **{name: value}))
    assert [(one.topic, one.name, one.present, one.expected) for one in found] == (
        [("events", name, value, spec.config[name])] if differs else []
    )


def test_a_longer_retention_is_no_difference_and_a_shorter_one_is() -> None:
    spec, _ = specs(events_retention_days=7)
    for days, differs in ((30, False), (7, False), (6, True)):
        assert bool(topic_differences(spec, existing(spec, **topic_config(0, days, 2) | spec_size(spec)))) == differs
    assert topic_differences(spec, existing(spec, **{"retention.ms": "-1"})) == []


def spec_size(spec: TopicSpec) -> dict[str, str]:
    return {"max.message.bytes": spec.config["max.message.bytes"]}


def test_one_replica_is_one_difference() -> None:
    # `min.insync.replicas` is no second one: with one replica, 1 is the only value that accepts events.
    spec, _ = specs()
    alone = ExistingTopic("events", 4, 1, {**spec.config, "min.insync.replicas": "1"})
    assert [one.name for one in topic_differences(spec, alone)] == ["replication.factor"]


def test_another_number_of_partitions_is_refused_if_it_was_set() -> None:
    for partitions in (3, 5):
        spec, _ = specs(partitions=partitions)
        with pytest.raises(TopicError):
            check_partitions(spec, ExistingTopic("events", 4, 3, {}))
    check_partitions(specs(partitions=4)[0], ExistingTopic("events", 4, 3, {}))
    check_partitions(specs(partitions=None)[0], ExistingTopic("events", 7, 3, {}))


def test_replicas_are_the_smallest_number_of_any_partition() -> None:
    assert replicas_of([{"replicas": [1, 2, 3]}, {"replicas": [1, 2]}]) == 2
    assert replicas_of([]) == 1
