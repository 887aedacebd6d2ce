"""The sender: a thread with its own event loop that delivers the journal while the run goes on.

Nothing here can fail training: what goes wrong is said in one line, remembered in `error`, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from stepwell.delivery.orphans import Orphans
from stepwell.journal.journal import Journal
from stepwell.terminal import say

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from stepwell.delivery.publisher import Pump
    from stepwell.journal.reader import Reader
    from stepwell.settings import ProducerSettings

_STOP_GRACE_SECONDS: Final = 1.0
_START_TIMEOUT_SECONDS: Final = 10.0
_ORPHANS_POLL_SECONDS: Final = 2.0


class Delivery(Protocol):
    """Who delivers the journal while the run goes on: the sender, or nobody."""

    @property
    def error(self) -> str:
        """Why nothing is delivered now; "" when all is well."""

    @property
    def recovered(self) -> int:
        """The records delivered of journals that others left behind."""

    def start(self) -> None:
        """Begin to deliver."""

    def also(self, journal: Journal) -> None:
        """Deliver another journal of this session's too."""

    def forked(self) -> None:
        """From now on, look for what forked children leave behind."""

    def drain(self, timeout: float) -> None:
        """Deliver what is there, for at most `timeout` seconds, and stop."""


class NoDelivery:
    """Nobody delivers: offline and disabled runs."""

    error = ""
    recovered = 0

    def start(self) -> None:
        """There is nothing to begin."""

    def also(self, journal: Journal) -> None:
        """It stays in the folder."""

    def forked(self) -> None:
        """What children leave behind stays in the folder."""

    def drain(self, timeout: float) -> None:
        """There is nothing to wait for."""


class _Lane(NamedTuple):
    """A journal on its way to the brokers."""

    journal: Journal
    reader: Reader
    pump: Pump


def _lane(journal: Journal, producer: AIOKafkaProducer, topic: str) -> _Lane:
    from stepwell.delivery.publisher import Pump
    from stepwell.journal.reader import Reader

    reader = Reader(check=False)
    reader.skip_to(journal.map, journal.acknowledged)
    return _Lane(journal, reader, Pump(producer, topic, journal.info, reader, journal.acknowledge))


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up in its own thread: at the interpreter's end, when runs drain, no other thread can be had."""

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        return socket.getaddrinfo(host, port, **more)


class Sender:
    """Delivers what earlier sessions left, then `journal`, until it is drained or its time is up."""

    def __init__(self, journal: Journal, settings: ProducerSettings, orphans: Orphans | None) -> None:
        self._thread = threading.Thread(target=self._run, name="stepwell-sender", daemon=True)
        self._journal = journal
        self._settings = settings
        self._orphans = orphans
        self._journals = [journal]
        self._has_forked = False
        self._look_again_at = 0.0
        self._error = ""
        self._refusal = ""
        self._told = False
        self._was_connected = False
        self._draining = False
        self._drained = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None

    @property
    def error(self) -> str:
        """Why nothing is delivered now, or something could not be; "" when all is well."""
        return self._error or self._refusal or (self._orphans.problem if self._orphans else "")

    @property
    def recovered(self) -> int:
        """The records delivered of journals that others left behind."""
        return self._orphans.delivered if self._orphans else 0

    def start(self) -> None:
        """Begin to deliver."""
        self._journal.sender_alive = True
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._journal.sender_alive = False
            self._fail(f"the sender can't start: {error}")

    def also(self, journal: Journal) -> None:
        """Deliver another journal too, beside the session's own."""
        self._journals.append(journal)

    def forked(self) -> None:
        """From now on, look for what forked children leave behind."""
        self._has_forked = True

    def drain(self, timeout: float) -> None:
        """Deliver what is there, for at most `timeout` seconds, and stop."""
        if not self._thread.is_alive():
            return
        self._draining = True
        self._call(lambda: self._wake.set() if self._wake else None)
        self._thread.join(max(0.0, timeout))
        if self._thread.is_alive():
            self._error = self._error or f"not delivered within {timeout:g} s"
            self._call(lambda: self._task.cancel() if self._task else None)
            self._thread.join(_STOP_GRACE_SECONDS)

    def _call(self, action: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                self._loop.call_soon_threadsafe(action)

    def _run(self) -> None:
        """Run the loop until everything is delivered after `drain`."""
        try:
            with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._main())
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

        while not self._drained:
            try:
                await self._deliver()
                return
            except (KafkaError, NotConnectedError, OSError, TimeoutError) as error:
                self._fail(str(error) or type(error).__name__)
                # Brokers that were there come back; where none ever was, nobody waits at the end.
                if self._draining and not self._was_connected:
                    return
            await self._pause(self._settings.retry_seconds)

    async def _pause(self, seconds: float) -> None:
        if self._wake is not None and not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        elif self._draining:
            await asyncio.sleep(min(seconds, self._settings.poll_seconds))

    async def _deliver(self) -> None:
        from stepwell.delivery.connection import find_brokers, open_producer

        settings = await find_brokers(self._settings)
        producer = await asyncio.wait_for(open_producer(settings), _START_TIMEOUT_SECONDS)
        lanes: list[_Lane] = []
        self._was_connected = True
        self._recover()
        try:
            # First, so that the order in Kafka is the order of logging.
            await self._deliver_orphans(producer, settings.events_topic)
            while not self._drained:
                await self._deliver_once(producer, settings.events_topic, lanes)
        finally:
            for lane in lanes:
                lane.pump.forget()
                self._refusal = lane.pump.refusal or self._refusal
            await producer.stop()

    async def _deliver_once(self, producer: AIOKafkaProducer, topic: str, lanes: list[_Lane]) -> None:
        """Send what is there, and wait where there is nothing; sets `_drained` behind the last record."""
        # In this order: what was logged before the drain lies before these ends.
        draining = self._draining
        lanes += [_lane(journal, producer, topic) for journal in self._journals[len(lanes) :]]
        ends = [lane.journal.end for lane in lanes]
        if any([await lane.pump.send(lane.journal.map, end) for lane, end in zip(lanes, ends, strict=True)]):
            return
        for lane in lanes:
            await lane.pump.settle()
        if self._has_forked and (draining or time.monotonic() >= self._look_again_at):
            self._look_again_at = time.monotonic() + _ORPHANS_POLL_SECONDS
            await self._deliver_orphans(producer, topic)
        if not draining:
            await self._pause(self._settings.poll_seconds)
            return
        self._drained = True
        for journal, reader, _ in lanes:
            damage = reader.damage(journal.map)
            if damage is not None:
                self._fail(f"the journal {journal.path} is {damage}")

    async def _deliver_orphans(self, producer: AIOKafkaProducer, topic: str) -> None:
        if self._orphans is not None:
            await self._orphans.deliver(producer, topic)

    def _fail(self, error: str) -> None:
        self._error = error
        if not self._told:
            self._told = True
            from stepwell.delivery.connection import REMEDY

            say(
                f"{error}: training goes on, everything is kept in {self._journal.path} and sent once there is a "
                f"server; {REMEDY}, or deliver it later with `stepwell sync`"
            )

    def _recover(self) -> None:
        self._error = ""
        self._told = False
