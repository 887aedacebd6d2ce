"""Report decisions that are not the usual one: log events, metrics and alarms."""

from __future__ import annotations

import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import telemetry
from stepwell_ingestor.positions.decide import NEW_LOGS, USUAL, Decision

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
        telemetry.gauge("stepwell_ingestor_missing_alarm", 1)
        telemetry.count("stepwell_ingestor_missing_records", decision.missing)
        _log.error("records_missing", **fields, missing=decision.missing, missing_in_all=position.missing)
    if decision.plan is not None:
        _log.info("unfinished_flush_found", **fields, end=decision.plan.end)
