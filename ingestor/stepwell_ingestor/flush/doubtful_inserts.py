"""Insert the rows of a flush exactly once, also if an earlier attempt may have succeeded (docs/decisions/0003)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import pyarrow as pa
import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import LandingError
from stepwell_ingestor.flush.insert_check import insert_is_visible
from stepwell_ingestor.flush.partition_store import PartitionStore

_TOKENS: Final = 10
_log = structlog.get_logger()


class Inserts(NamedTuple):
    """The inserts of a flush.

    `token` returns the token of a table, `first` is the first logical offset. `prove_ownership` commits the plan again,
    which only the owner of the partition can. An ingestor that was frozen may miss rows because they were deleted by
    the next owner, and must not insert them under another token.
    """

    token: Callable[[str], str]
    first: int
    prove_ownership: Callable[[], Awaitable[None]]


async def insert_once(store: PartitionStore, table: str, rows: pa.Table, inserts: Inserts, *, doubtful: bool) -> None:
    """Insert rows exactly once; `doubtful` if an insert under their token may have been attempted before.

    Raises:
        LandingError: if ClickHouse accepts the rows again and again, and they can't be read.
        KafkaError: if rows are missing and the partition has another owner.
        RestartError, StoreError: as `PartitionStore.insert_confirmed`.
    """
    token = inserts.token(table)
    for number in range(1, _TOKENS + 1):
        numbered = token if number == 1 else f"{token}:{number}"
        repeated = await store.insert_confirmed(table, rows, numbered)
        doubtful = doubtful or repeated
        if not doubtful:
            return
        if await store.call(insert_is_visible, store.client, table, rows, inserts.first):
            return
        await inserts.prove_ownership()
        telemetry.count("stepwell_ingestor_inserts_repaired")
        _log.warning("insert_repaired", table=table, token=token)
    raise LandingError(f"table {table}: rows were inserted {_TOKENS} times (token {token}) and can't be read")
