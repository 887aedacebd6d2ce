"""Report decisions that are not the usual one: log events, metrics and alarms."""

from __future__ import annotations

import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import PartitionsAddedError
from stepwell_ingestor.positions.evidence import NEW_LOGS, USUAL, Decision
from stepwell_ingestor.positions.models import LogPosition

_log = structlog.get_logger()


def report_decision(partition: TopicPartition, decision: Decision, committed: int | None) -> None:
    """Log a decision, count it, and raise the alarms that need an operator."""
    position, reason = decision.position, decision.reason
    fields = {
        "topic": partition.topic,
        "partition": partition.partition,
        "start": decision.start,
        "committed": committed,
        "epoch": position.epoch,
    }
    if reason not in USUAL:
        telemetry.count("stepwell_ingestor_positions_corrected")
        _log.warning(str(reason), **fields, base=position.base)
    if reason in NEW_LOGS:
        telemetry.gauge("stepwell_ingestor_log_alarm", 1)
    if decision.missing:
        report_missing(partition, decision.start, decision.missing, position)
    if decision.plan is not None:
        _log.info("unfinished_flush_found", **fields, end=decision.plan.end)


def report_missing(partition: TopicPartition, start: int, missing: int, position: LogPosition) -> None:
    """Report records that were removed before they were stored, found when reading from `start`."""
    telemetry.gauge("stepwell_ingestor_missing_alarm", 1)
    telemetry.count("stepwell_ingestor_missing_records", missing)
    _log.error(
        "records_missing",
        topic=partition.topic,
        partition=partition.partition,
        start=start,
        epoch=position.epoch,
        missing=missing,
        missing_in_all=position.missing,
    )


def report_added_partitions(error: PartitionsAddedError | None, *, reported: bool) -> None:
    """Log that ingestion is held because partitions were added, once, and keep the alarm; None ends it."""
    if error is None:
        if reported:
            telemetry.gauge("stepwell_ingestor_partitions_alarm", 0)
        return
    telemetry.gauge("stepwell_ingestor_partitions_alarm", 1)
    if not reported:
        _log.error("partitions_added", topic=error.topic, stored=error.stored, present=error.present, error=str(error))
