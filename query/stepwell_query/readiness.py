"""Readiness: the state of the parts that an answer depends on.

The service asks ClickHouse itself. A process that runs further parts, as `stepwell up` does, reports them.
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
_ANSWER_SECONDS: Final = 5.0
_SCHEMA: Final = "SELECT count() FROM {db}.schema_migrations"


class PartReport(NamedTuple):
    """A part's state (`up`, `starting`, `down` or `held`), a code of the reason, and its restarts.

    The reason is a code and never a message: messages name paths and addresses, and go to the log.
    """

    name: str
    state: str
    reason: str = ""
    restarts: int = 0

    def fields(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"state": self.state, "reason": self.reason, "restarts": self.restarts}


Parts = Callable[[], Sequence[PartReport]]


def no_parts() -> Sequence[PartReport]:
    """Report no further parts."""
    return ()


class StoreProbe:
    """Asks ClickHouse for the schema; one question at a time, however many ask and however long it takes.

    A question that gets no answer keeps its thread, which is a daemon: neither questions nor the end of the process
    wait for it.
    """

    def __init__(self, store: Store, seconds: float = _ANSWER_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._pending: asyncio.Future[str] | None = None

    async def report(self) -> PartReport:
        """Return ClickHouse's state."""
        if self._pending is None or self._pending.done():
            self._pending = self._ask()
        done, _ = await asyncio.wait({self._pending}, timeout=self._seconds)
        reason = self._pending.result() if done else "no_answer"
        return PartReport(CLICKHOUSE, DOWN if reason else UP, reason)

    def _ask(self) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def settle(reason: str) -> None:
            if not answer.done():
                answer.set_result(reason)

        def ask() -> None:
            try:
                self._store.query(_SCHEMA)
                reason = ""
            except Exception as error:
                # Any kind: a question without an outcome would be the last one.
                reason = type(error).__name__
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(settle, reason)

        threading.Thread(target=ask, name="readiness", daemon=True).start()
        return answer


class Readiness:
    """The states of all parts of a process."""

    def __init__(self, store: Store, others: Parts = no_parts) -> None:
        self._probe = StoreProbe(store)
        self._others = others

    async def parts(self) -> list[PartReport]:
        """Return the states of ClickHouse and of the others."""
        return [await self._probe.report(), *self._others()]
