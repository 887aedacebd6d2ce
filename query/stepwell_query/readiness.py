"""Readiness: the states of the parts that answers depend on.

The service probes ClickHouse. A process with further parts, such as `stepwell up`, reports their states.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store

CLICKHOUSE: Final = "clickhouse"
UP: Final = "up"
DOWN: Final = "down"
_PROBE_SECONDS: Final = 5.0
_SCHEMA: Final = "SELECT count() FROM {db}.schema_migrations"


class PartReport(NamedTuple):
    """State of a part (`up`, `starting`, `down` or `held`), a code of the reason, and the number of restarts.

    The reason is a code and never a message: messages contain paths and addresses and belong in the log.
    """

    name: str
    state: str
    reason: str = ""
    restarts: int = 0

    def fields(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        return {"state": self.state, "reason": self.reason, "restarts": self.restarts}


Parts = Callable[[], Sequence[PartReport]]


def no_parts() -> Sequence[PartReport]:
    """Report no further parts."""
    return ()


class StoreProbe:
    """Probes ClickHouse by reading the schema version; concurrent reports share one probe.

    A probe without an answer occupies a daemon thread, which neither further reports nor the end of the process wait
    for.
    """

    def __init__(self, store: Store, seconds: float = _PROBE_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._pending: asyncio.Future[str] | None = None

    async def report(self) -> PartReport:
        """Return the state of ClickHouse."""
        if self._pending is None or self._pending.done():
            self._pending = self._probe()
        # Once it is done, another report may begin the next probe before this one continues.
        pending = self._pending
        done, _ = await asyncio.wait({pending}, timeout=self._seconds)
        reason = pending.result() if done else "no_answer"
        return PartReport(CLICKHOUSE, DOWN if reason else UP, reason)

    def _probe(self) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def settle(reason: str) -> None:
            if not answer.done():
                answer.set_result(reason)

        def probe() -> None:
            try:
                self._store.query(_SCHEMA)
                reason = ""
            except Exception as error:
                # Any error: a probe without an outcome would block all later ones.
                reason = type(error).__name__
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(settle, reason)

        threading.Thread(target=probe, name="readiness", daemon=True).start()
        return answer


class Readiness:
    """States of all parts of a process."""

    def __init__(self, store: Store, others: Parts = no_parts) -> None:
        self._probe = StoreProbe(store)
        self._others = others

    async def parts(self) -> list[PartReport]:
        """Return the states of ClickHouse and of the other parts."""
        return [await self._probe.report(), *self._others()]
