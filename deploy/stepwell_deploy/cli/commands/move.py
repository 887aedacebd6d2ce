"""The command `move-events`, after partitions were added to the events topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stepwell_deploy.cli.options import JsonFlag, open_service
from stepwell_deploy.rendering import counted
from stepwell_deploy.settings import DeploySettings

if TYPE_CHECKING:
    from stepwell_deploy.moving.move import StoredPartition
    from stepwell_deploy.service_client import ServiceClient

_POSITIONS: Final = (
    "SELECT partition, end_offset, topic_id, partitions FROM log_positions FINAL WHERE topic = {topic:String}"
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="move-events")(move_events)


def move_events(
    target: Annotated[str, typer.Argument(help="The new topic, empty.", metavar="TOPIC")], as_json: JsonFlag = False
) -> None:
    """Copy the events that are not stored to a new topic, after partitions were added to the events topic.

    Ingestors store nothing of a topic whose number of partitions was raised. The copy has each session's events in
    the order in which they were sent. Stop the producers first. Then set STEPWELL_EVENTS_TOPIC to the new topic for
    the services and the producers.

    Examples:
        STEPWELL_EVENTS_TOPIC=events-2 stepwell setup
        stepwell move-events events-2
    """
    from stepwell_deploy.kafka_connection import find_kafka, run_kafka
    from stepwell_deploy.moving.move import move_events as copy_events
    from stepwell_ingestor.settings import IngestorSettings

    with open_service(DeploySettings()) as service:
        kafka = find_kafka(service)
        stored = _stored(service, kafka.events_topic)
    moved = run_kafka(kafka, copy_events(kafka, IngestorSettings().ingestor_group, target, stored))
    if as_json:
        typer.echo(json.dumps(moved._asdict()))
        return
    typer.echo(f"{counted(moved.copied, 'event')} copied; set STEPWELL_EVENTS_TOPIC={target} everywhere")
    if moved.unreadable:
        typer.echo(f"{moved.unreadable:,} can't be read and were left out")


def _stored(service: ServiceClient, topic: str) -> dict[int, StoredPartition]:
    """Return the stored positions of a topic, by partition."""
    from stepwell_deploy.moving.move import StoredPartition

    rows = service.post("sql", {"sql": _POSITIONS, "parameters": {"topic": topic}}).json()["rows"]
    return {int(row[0]): StoredPartition(int(row[1]), str(row[2]), int(row[3])) for row in rows}
