"""The replay of the log into a database, by the ingestor itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import TABLE as POSITIONS
from stepwell_ingestor.positions.stored import position_row
from stepwell_ingestor.rebuild.ranges import ReplayRange
from stepwell_ingestor.rebuild.record import RebuildRecord
from stepwell_ingestor.rebuild.replayed_log import ReplayedLog
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

_POLL_SECONDS: Final = 0.02


class Replayed(NamedTuple):
    """The number of events that a call has replayed, and of their dead letters."""

    events: int
    letters: int


async def replay(
    settings: IngestorSettings,
    store: Store,
    record: RebuildRecord,
    ranges: Iterable[ReplayRange],
    seeds: Mapping[int, LogPosition],
    run: RunPath | None,
    report: Callable[[int], None],
) -> Replayed:
    """Bring a database to the ends of the ranges; what an earlier call has done is not repeated.

    Args:
        settings: Kafka, the media store and the sizes of flushes.
        store: the database to write to, which has this version's tables.
        record: its record.
        ranges: the ranges.
        seeds: by partition, the position to begin with if the record has no commit yet.
        run: the only run to replay; None: all.
        report: called with the number of events that were replayed so far.

    Raises:
        KafkaError, StoreError, StepwellIngestorError: as the ingestor raises them; the same call may be repeated.
    """
    wanted = list(ranges)
    for part in wanted:
        if record.committed(part.partition) is None:
            await asyncio.to_thread(store.insert, POSITIONS, position_row(seeds[part.partition]))
            record.commit(part.partition, part.start, "")
    first = await _replay_to(settings, store, record, {part.partition: part.end for part in wanted}, run, report)
    planned = [part for part in wanted if part.plan]
    for part in planned:
        # A flush that the group has planned is repeated as it was planned, so that its tokens are the ingestor's.
        if record.reached(part.partition) == part.end:
            record.commit(part.partition, part.end, part.plan)
    ends = {part.partition: part.last for part in planned}
    second = await _replay_to(settings, store, record, ends, run, lambda events: report(first.events + events))
    return Replayed(first.events + second.events, first.letters + second.letters)


async def _replay_to(
    settings: IngestorSettings,
    store: Store,
    record: RebuildRecord,
    ends: dict[int, int],
    run: RunPath | None,
    report: Callable[[int], None],
) -> Replayed:
    missing = {number: end for number, end in ends.items() if record.reached(number) < end}
    if not missing:
        return Replayed(0, 0)
    log = ReplayedLog(settings, missing, record, run)
    ingestor = Ingestor(settings, store, kafka=log)
    running = asyncio.create_task(ingestor.run())
    try:
        while not running.done() and not log.is_settled():
            report(log.events)
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await ingestor.stop()
        await asyncio.wait([running])
    running.result()
    for number, end in missing.items():
        # Behind the last event there may be transaction markers, or events of other runs.
        record.read(number, end)
    report(log.events)
    return Replayed(log.events, log.letters)
