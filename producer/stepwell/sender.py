"""The sender: a thread with its own event loop that delivers the journal while the run goes on.

Nothing here can fail training: what goes wrong is said in one line, remembered in `error`, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stepwell.journal import Journal
from stepwell.terminal import say

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

_STOP_GRACE_SECONDS: Final = 1.0
_START_TIMEOUT_SECONDS: Final = 10.0


class NoDelivery:
    """Nobody delivers: offline and disabled runs."""

    error = ""

    def drain(self, timeout: float) -> None:
        """There is nothing to wait for."""


class Sender(threading.Thread):
    """Delivers `journal` from its acknowledged position on, until it is drained or its time is up."""

    def __init__(self, journal: Journal, settings: ProducerSettings) -> None:
        super().__init__(name="stepwell-sender", daemon=True)
        self._journal = journal
        self._settings = settings
        self._error = ""
        self._refusal = ""
        self._told = False
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None

    @property
    def error(self) -> str:
        """Why nothing is delivered now, or something could not be; "" when all is well."""
        return self._error or self._refusal

    def drain(self, timeout: float) -> None:
        """Deliver what is there, for at most `timeout` seconds, and stop."""
        self._draining = True
        self._call(lambda: self._wake.set() if self._wake else None)
        self.join(max(0.0, timeout))
        if self.is_alive():
            self._error = self._error or f"not delivered within {timeout:g} s"
            self._call(lambda: self._task.cancel() if self._task else None)
            self.join(_STOP_GRACE_SECONDS)

    def _call(self, action: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                self._loop.call_soon_threadsafe(action)

    def run(self) -> None:
        """Run the loop until everything is delivered after `drain`."""
        self._journal.sender_alive = True
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._main())
        except Exception as error:
            # The boundary of the thread: whatever it is, the journal has everything and training goes on.
            self._fail(f"the sender stopped: {type(error).__name__}: {error}")
        finally:
            self._journal.sender_alive = False

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._wake = asyncio.Event()
        if self._draining:  # finished before this thread had a loop to be woken through
            self._wake.set()
        # Imported here, in the sender's thread, so that importing and starting a run stay quick.
        from aiokafka.errors import KafkaError

        from stepwell.errors import NotConnectedError

        while not self._delivered():
            try:
                await self._deliver()
                return
            except (KafkaError, NotConnectedError, OSError, TimeoutError) as error:
                self._fail(str(error) or type(error).__name__)
                if self._draining and isinstance(error, NotConnectedError | TimeoutError):
                    return
            await self._pause(self._settings.retry_seconds)

    def _delivered(self) -> bool:
        return self._draining and self._journal.acknowledged.sequence >= self._journal.sequence

    async def _pause(self, seconds: float) -> None:
        if self._wake is not None and not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        elif self._draining:
            await asyncio.sleep(min(seconds, self._settings.poll_seconds))

    async def _deliver(self) -> None:
        from stepwell.connection import find_brokers, open_producer
        from stepwell.pump import Pump
        from stepwell.reader import Reader

        settings = await find_brokers(self._settings)
        producer = await asyncio.wait_for(open_producer(settings), _START_TIMEOUT_SECONDS)
        journal = self._journal
        reader = Reader(check=False)
        reader.skip_to(journal.map, journal.acknowledged)
        pump = Pump(producer, settings.events_topic, journal.info, reader, journal.acknowledge)
        self._recover()
        try:
            while not self._delivered():
                end = journal.end
                if not await pump.send(journal.map, end):
                    await pump.settle()
                    if not self._delivered():
                        await self._pause(settings.poll_seconds)
        finally:
            pump.forget()
            self._refusal = pump.refusal or self._refusal
            await producer.stop()

    def _fail(self, error: str) -> None:
        self._error = error
        if not self._told:
            self._told = True
            from stepwell.connection import REMEDY

            say(
                f"{error}: training goes on, everything is kept in {self._journal.path} and sent once there is a "
                f"server; {REMEDY}, or deliver it later with `stepwell sync`"
            )

    def _recover(self) -> None:
        self._error = ""
        self._told = False
