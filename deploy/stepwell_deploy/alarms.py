"""Which of a service's metrics are alarms, and what an operator is told when one rings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Alarm(NamedTuple):
    """An alarm that rings: its name for programs, and a sentence with what to do."""

    name: str
    text: str


def ringing(samples: Mapping[str, float]) -> list[Alarm]:
    """Return the alarms that ring in the samples of `/metrics`, by metric."""
    alarms = []
    if samples.get("stepwell_ingestor_deadletter_alarm"):
        share = samples.get("stepwell_ingestor_deadletter_share", 0.0)
        text = f"{share:.1%} of the last 1,000 events could not be used; see `stepwell deadletters list`"
        alarms.append(Alarm("dead_letters", text))
    if samples.get("stepwell_ingestor_deadletter_topic_alarm"):
        lost = samples.get("stepwell_ingestor_dead_letters_undelivered_total", 0.0)
        text = f"the topic of dead letters is missing or takes none; {lost:,.0f} letters are only in the ingestor's log"
        alarms.append(Alarm("deadletter_topic", text))
    if samples.get("stepwell_ingestor_store_alarm"):
        waiting = samples.get("stepwell_ingestor_lag_events", 0.0)
        text = f"ClickHouse can't be reached; {waiting:,.0f} events wait in Kafka and are stored when it answers"
        alarms.append(Alarm("store_unreachable", text))
    if samples.get("stepwell_ingestor_media_alarm"):
        waiting = samples.get("stepwell_ingestor_lag_events", 0.0)
        text = f"the media store can't be reached; {waiting:,.0f} events wait in Kafka and are stored when it answers"
        alarms.append(Alarm("media_unreachable", text))
    return alarms
