"""ClickHouse is restored from a backup that is older than the group's offsets: the ingestors catch up, row by row."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from support.readers.view_rows import view_rows
from support.servers.ingest import a_batch, counted, ingesting, make_ingestor_settings, send, until
from support.servers.stack import Stack, Topics

RUNS = (RunPath("me", "p", "run"), RunPath("me", "p", "other"))
_BATCH_ROWS = 20


def messages(run: RunPath, first: int, count: int) -> list[bytes]:
    """Return batches of one session, each followed by an event of another session that merges into its last row."""
    found = []
    for place in range(first, first + count):
        found.append(encode(a_batch(place * _BATCH_ROWS, _BATCH_ROWS, **run._asdict())))
        event = {"session": "e", "sequence": place, "timestamp": 1_700_000_000_000_000 + place}
        note = {"note": f"after batch {place}", "nan": float("nan")}
        found.append(encode(LogEvent(**run._asdict(), **event, data=note, step=(place + 1) * _BATCH_ROWS)))
    return found


async def ingest(settings: IngestorSettings, store: Store, first: int, count: int) -> None:
    """Send events of both runs, and run an ingestor until all of them are stored."""
    async with ingesting(settings, store):
        for run in RUNS:
            await send(
                settings.kafka_bootstrap_servers, settings.events_topic, messages(run, first, count), run.kafka_key
            )
        await until(counted(store, "strings"), len(RUNS) * (first + count))


@pytest.fixture
def settings(broker: str, topics: Topics, tmp_path: Path) -> IngestorSettings:
    """Settings with small flushes, so that many of them come after the backup."""
    return make_ingestor_settings(broker, topics, media_url=str(tmp_path), ingestor_flush_seconds=0.01)


@pytest.mark.parametrize("kind", ["chdb", "http"])
def test_an_older_backup_catches_up(
    settings: IngestorSettings, open_store: Callable[[str], Store], stack: Stack, kind: str
) -> None:
    store = open_store(kind)
    backup = f"File('{stack.backups / uuid.uuid4().hex}')"
    asyncio.run(ingest(settings, store, 0, 5))
    store.command(f"BACKUP DATABASE {{db}} TO {backup}")
    asyncio.run(ingest(settings, store, 5, 5))
    undisturbed = view_rows(store)
    assert len(undisturbed["metrics"]) == 2 * 4

    store.command("DROP DATABASE {db} SYNC")
    store.command(f"RESTORE DATABASE {{db}} FROM {backup}")
    assert len(view_rows(store)["numbers"]) < len(undisturbed["numbers"])

    async def catch_up() -> None:
        async with ingesting(settings, store):
            await until(counted(store, "strings"), len(undisturbed["strings"]))
            await until(lambda: view_rows(store), undisturbed)

    asyncio.run(catch_up())
    # It continues there, also after the catching up.
    asyncio.run(ingest(settings, store, 10, 2))
    assert len(view_rows(store)["strings"]) == len(undisturbed["strings"]) + 2 * 2
