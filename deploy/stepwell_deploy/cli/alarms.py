"""Alarms: for each, the gauge that raises it and a sentence with the remedy.

docs/operating.md explains each one, and deploy/alerts.yml has a Prometheus rule for each; a test keeps the three equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

Samples = Mapping[str, float]


class Alarm(NamedTuple):
    """An active alarm: its name for programs, and a sentence with the remedy."""

    name: str
    text: str


class AlarmRule(NamedTuple):
    """An alarm that is active while a gauge is not 0; its sentence is built from the samples."""

    name: str
    gauge: str
    text: Callable[[Samples], str]


def _dead_letters(samples: Samples) -> str:
    share = samples.get("stepwell_ingestor_deadletter_share", 0.0)
    return f"{share:.1%} of the last 1,000 events could not be used; see `stepwell deadletters list`"


def _deadletter_topic(samples: Samples) -> str:
    lost = samples.get("stepwell_ingestor_dead_letters_undelivered_total", 0.0)
    return f"the dead-letter topic is missing or accepts no letters; {lost:,.0f} letters are only in the ingestor's log"


def _store(samples: Samples) -> str:
    return f"ClickHouse can't be reached; {_lag(samples)} events wait in Kafka and are stored when it answers"


def _media(samples: Samples) -> str:
    return f"the media store can't be reached; {_lag(samples)} events wait in Kafka and are stored when it answers"


def _stalled(samples: Samples) -> str:
    return f"{_lag(samples)} events wait in Kafka and none are stored; see the ingestor's log and its other alarms"


def _log(samples: Samples) -> str:
    count = samples.get("stepwell_ingestor_positions_corrected_total", 0.0)
    return (
        f"Kafka has lost or replaced records; {count:,.0f} partitions were continued elsewhere, see the ingestor's log"
    )


def _missing(samples: Samples) -> str:
    lost = samples.get("stepwell_ingestor_missing_records_total", 0.0)
    return f"retention removed {lost:,.0f} records before they were stored; set `retention.ms` of the topic to -1"


def _partitions(samples: Samples) -> str:
    return (
        f"partitions were added to the events topic, so nothing is stored; {_lag(samples)} events wait. Stop the "
        "producers, and see `stepwell move-events`"
    )


def _content(samples: Samples) -> str:
    rows = samples.get("stepwell_ingestor_differing_rows_total", 0.0)
    return f"{rows:,.0f} rows are not stored as they were sent; find them by `content_differs` in the log"


def _times(samples: Samples) -> str:
    times = samples.get("stepwell_ingestor_replaced_times_total", 0.0)
    return f"{times:,.0f} times before 1970 or after 2255 are Kafka's instead; find them by `times_replaced` in the log"


def _broker(samples: Samples) -> str:
    return f"the broker is away or unsteady ({_restarts(samples, 'broker')}); see the end of kafka/broker.log"


def _ingestor(samples: Samples) -> str:
    return f"the ingestor ends repeatedly ({_restarts(samples, 'ingestor')}); see its error in the log"


def _disk(samples: Samples) -> str:
    return f"{_free(samples)} MiB are free for the data folder; free some, or give it more"


def _reserve(samples: Samples) -> str:
    return f"ingestion is stopped: {_free(samples)} MiB are free for the data folder; it continues when more is free"


def _loop(samples: Samples) -> str:
    lag = samples.get("stepwell_up_loop_lag_seconds", 0.0)
    return f"the process was blocked for {lag:.1f} s; the machine has too little time or memory, or a call is too long"


def _audit(samples: Samples) -> str:
    lost = samples.get("stepwell_audit_lost_total", 0.0)
    return f"{lost:,.0f} audit entries could not be stored; they are in the service's log, as lines `audit`"


def _retention(samples: Samples) -> str:
    failures = samples.get("stepwell_ingestor_retention_failures_total", 0.0)
    return f"old rows could not be removed, {failures:,.0f} times; see `retention_failed` in the ingestor's log"


def _mixed(_: Samples) -> str:
    return "runs have figures of a deleted run of the same name; rebuild those that `runs_mixed` in the log names"


def _lag(samples: Samples) -> str:
    return f"{samples.get('stepwell_ingestor_lag_events', 0.0):,.0f}"


def _free(samples: Samples) -> str:
    return f"{samples.get('stepwell_up_disk_free_bytes', 0.0) / (1 << 20):,.0f}"


def _restarts(samples: Samples, part: str) -> str:
    metric = f'stepwell_up_part_restarts_total{{part="{part}"}}'
    return f"{samples.get(metric, 0.0):,.0f} restarts"


ALARMS: Final = (
    AlarmRule("dead_letters", "stepwell_ingestor_deadletter_alarm", _dead_letters),
    AlarmRule("deadletter_topic", "stepwell_ingestor_deadletter_topic_alarm", _deadletter_topic),
    AlarmRule("store_unreachable", "stepwell_ingestor_store_alarm", _store),
    AlarmRule("media_unreachable", "stepwell_ingestor_media_alarm", _media),
    AlarmRule("ingestor_stalled", "stepwell_ingestor_stalled_alarm", _stalled),
    AlarmRule("log_replaced", "stepwell_ingestor_log_alarm", _log),
    AlarmRule("records_missing", "stepwell_ingestor_missing_alarm", _missing),
    AlarmRule("partitions_added", "stepwell_ingestor_partitions_alarm", _partitions),
    AlarmRule("content_differs", "stepwell_ingestor_content_alarm", _content),
    AlarmRule("times_replaced", "stepwell_ingestor_times_alarm", _times),
    AlarmRule("retention_failed", "stepwell_ingestor_retention_alarm", _retention),
    AlarmRule("runs_mixed", "stepwell_ingestor_mixed_alarm", _mixed),
    AlarmRule("broker_down", "stepwell_up_broker_alarm", _broker),
    AlarmRule("ingestor_failing", "stepwell_up_ingestor_alarm", _ingestor),
    AlarmRule("disk_low", "stepwell_up_disk_alarm", _disk),
    AlarmRule("disk_reserve", "stepwell_up_disk_reserve_alarm", _reserve),
    AlarmRule("event_loop_blocked", "stepwell_up_loop_alarm", _loop),
    AlarmRule("audit_lost", "stepwell_audit_alarm", _audit),
)


def ringing(samples: Samples) -> list[Alarm]:
    """Return the active alarms of the samples of `/metrics`, which are keyed by metric."""
    return [Alarm(rule.name, rule.text(samples)) for rule in ALARMS if samples.get(rule.gauge)]
