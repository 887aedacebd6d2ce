"""Prometheus metrics of the ingestor. Their names are a type, so that a typo fails type-checking."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import Counter, Gauge

CounterName = Literal[
    "stepwell_ingestor_events",
    "stepwell_ingestor_points",
    "stepwell_ingestor_repeated_records",
    "stepwell_ingestor_step_conflicts",
    "stepwell_ingestor_flushes",
    "stepwell_ingestor_store_retries",
    "stepwell_ingestor_inserts_repaired",
    "stepwell_ingestor_media_retries",
    "stepwell_ingestor_rollup_rows",
    "stepwell_ingestor_rollup_statements",
    "stepwell_ingestor_rollup_seconds",
    "stepwell_ingestor_rejoins",
    "stepwell_ingestor_dead_letters_undelivered",
    "stepwell_ingestor_clipped_counts",
    "stepwell_ingestor_isolated_events",
    "stepwell_ingestor_refused_events",
    "stepwell_ingestor_positions_corrected",
    "stepwell_ingestor_missing_records",
    "stepwell_ingestor_early_sessions",
    "stepwell_ingestor_shared_writers",
    "stepwell_ingestor_differing_rows",
    "stepwell_ingestor_late_records",
    "stepwell_ingestor_forgotten_gaps",
    "stepwell_ingestor_replaced_times",
    "stepwell_ingestor_deleted_runs",
    "stepwell_ingestor_dropped_records",
    "stepwell_ingestor_removed_media_files",
    "stepwell_ingestor_retention_rows",
    "stepwell_ingestor_retention_late_rows",
    "stepwell_ingestor_retention_bytes",
    "stepwell_ingestor_retention_files",
    "stepwell_ingestor_retention_failures",
]
GaugeName = Literal[
    "stepwell_ingestor_lag_events",
    "stepwell_ingestor_buffered_bytes",
    "stepwell_ingestor_buffer_limit_bytes",
    "stepwell_ingestor_paused_partitions",
    "stepwell_ingestor_state_bytes",
    "stepwell_ingestor_last_flush_timestamp_seconds",
    "stepwell_ingestor_deadletter_share",
    "stepwell_ingestor_deadletter_alarm",
    "stepwell_ingestor_deadletter_topic_alarm",
    "stepwell_ingestor_store_alarm",
    "stepwell_ingestor_media_alarm",
    "stepwell_ingestor_stalled_alarm",
    "stepwell_ingestor_log_alarm",
    "stepwell_ingestor_missing_alarm",
    "stepwell_ingestor_partitions_alarm",
    "stepwell_ingestor_content_alarm",
    "stepwell_ingestor_times_alarm",
    "stepwell_ingestor_retention_alarm",
    "stepwell_ingestor_mixed_alarm",
    "stepwell_ingestor_retention_last_pass_timestamp_seconds",
]

_COUNTERS: Final[dict[CounterName, str]] = {
    "stepwell_ingestor_events": "Events read from Kafka and settled: stored, or sent to the dead letters.",
    "stepwell_ingestor_points": "Points stored.",
    "stepwell_ingestor_repeated_records": "Records that had been stored before and were skipped.",
    "stepwell_ingestor_step_conflicts": "Calls that asked for a step below their writer's current one.",
    "stepwell_ingestor_flushes": "Flushes stored and committed.",
    "stepwell_ingestor_store_retries": "Attempts that failed because ClickHouse could not be reached.",
    "stepwell_ingestor_media_retries": "Attempts that failed because the media store could not be reached.",
    "stepwell_ingestor_dead_letters_undelivered": "Dead letters that their topic did not accept; the log names them.",
    "stepwell_ingestor_rejoins": "Times that the group was left and rejoined because a commit was not answered.",
    "stepwell_ingestor_clipped_counts": "Counts of runs and sessions that were clipped at their column's maximum.",
    "stepwell_ingestor_isolated_events": "Events that made planning fail, sent to the dead letters as `unusable`.",
    "stepwell_ingestor_refused_events": "Events whose rows ClickHouse refused, sent to the dead letters as `unusable`.",
    "stepwell_ingestor_early_sessions": "Sessions that began in the log before all records of their predecessor.",
    "stepwell_ingestor_shared_writers": "Starts of a writer whose earlier process still logged under its name.",
    "stepwell_ingestor_differing_rows": "Rows of batches that are not stored as their session has sent them.",
    "stepwell_ingestor_late_records": "Records stored that had counted as missing.",
    "stepwell_ingestor_forgotten_gaps": "Ranges of missing records that would not be stored if they arrived later.",
    "stepwell_ingestor_replaced_times": "Times before 1970 or after 2255, replaced by the time of the Kafka record.",
    "stepwell_ingestor_deleted_runs": "Runs whose rows were deleted.",
    "stepwell_ingestor_removed_media_files": "Media files that no run refers to any more and that were removed.",
    "stepwell_ingestor_retention_rows": "Rows that were older than their project keeps them, and were deleted.",
    "stepwell_ingestor_retention_late_rows": "Those of them that had arrived below the boundary of their run.",
    "stepwell_ingestor_retention_bytes": "Bytes that the deleted rows took on disk.",
    "stepwell_ingestor_retention_files": "Media files that were older than their project keeps them.",
    "stepwell_ingestor_retention_failures": "Passes over projects that failed; the next one repeats them.",
    "stepwell_ingestor_dropped_records": "Records of deleted runs that arrived after the deletion, and were dropped.",
    "stepwell_ingestor_inserts_repaired": "Inserts repeated because ClickHouse had recorded and lost them in a crash.",
    "stepwell_ingestor_positions_corrected": "Partitions that were not continued at the group's committed offset.",
    "stepwell_ingestor_missing_records": "Offsets that Kafka's retention removed before they were stored.",
    "stepwell_ingestor_rollup_rows": "Rollup rows computed from the flushes' own points.",
    "stepwell_ingestor_rollup_statements": "Statements that computed rollup rows from stored points.",
    "stepwell_ingestor_rollup_seconds": "Seconds that flushes spent on rollups.",
}
_GAUGES: Final[dict[GaugeName, str]] = {
    "stepwell_ingestor_lag_events": "Events in the log that are not settled, over the partitions of this ingestor.",
    "stepwell_ingestor_buffered_bytes": "Bytes of events held in memory.",
    "stepwell_ingestor_buffer_limit_bytes": "Bytes of events beyond which partitions are paused.",
    "stepwell_ingestor_paused_partitions": "Partitions that are paused because ClickHouse does not keep up.",
    "stepwell_ingestor_state_bytes": "Approximate bytes of run state held in memory.",
    "stepwell_ingestor_last_flush_timestamp_seconds": "When a flush was last committed, in seconds since the epoch.",
    "stepwell_ingestor_deadletter_share": "Share of dead letters among the last 1,000 events.",
    "stepwell_ingestor_deadletter_alarm": "1 while that share is too large.",
    "stepwell_ingestor_deadletter_topic_alarm": "1 while the topic of dead letters is missing or accepts no letters.",
    "stepwell_ingestor_store_alarm": "1 while events wait because ClickHouse can't be reached.",
    "stepwell_ingestor_media_alarm": "1 while events wait because the media store can't be reached.",
    "stepwell_ingestor_stalled_alarm": "1 while events wait and no flush has completed for too long.",
    "stepwell_ingestor_log_alarm": "1 after Kafka has lost or replaced stored records, until the ingestor ends.",
    "stepwell_ingestor_missing_alarm": "1 after retention has removed records too early, until the ingestor ends.",
    "stepwell_ingestor_partitions_alarm": "1 while nothing is stored because partitions were added to the topic.",
    "stepwell_ingestor_content_alarm": "1 after rows differed from what was sent, until the ingestor ends.",
    "stepwell_ingestor_times_alarm": "1 after times could not be stored, until the ingestor ends.",
    "stepwell_ingestor_mixed_alarm": "1 while series of a run have figures of a deleted run that had its name.",
    "stepwell_ingestor_retention_alarm": "1 while the last pass of retention over a project has failed.",
    "stepwell_ingestor_retention_last_pass_timestamp_seconds": "When rows were last looked for or deleted, in seconds "
    "since the epoch.",
}

_counters: Final = {name: Counter(name, text) for name, text in _COUNTERS.items()}
_gauges: Final = {name: Gauge(name, text) for name, text in _GAUGES.items()}
_dead_letters: Final = Counter(
    "stepwell_ingestor_dead_letters", "Events sent to the dead letters, by reason.", ["reason"]
)


def count(name: CounterName, amount: float = 1) -> None:
    """Add to a counter."""
    _counters[name].inc(amount)


def gauge(name: GaugeName, value: float) -> None:
    """Set a gauge."""
    _gauges[name].set(value)


def count_dead_letter(reason: str) -> None:
    """Count a dead letter."""
    _dead_letters.labels(reason).inc()
