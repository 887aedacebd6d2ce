"""The sender: a thread with its own event loop that delivers the journal during the run.

It never fails a training: errors are printed in one line, kept in `error` and `blocked`, and delivery is retried over
a new connection, which follows brokers that have moved.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.delivery.blocked import Blocked, classify_error
from stepwell.delivery.orphans import Orphans
from stepwell.delivery.other_runs import OtherRuns
from stepwell.delivery.sender_thread import SenderThread
from stepwell.imports import importing
from stepwell.journal.journal import Journal
from stepwell.service_errors import START_REMEDY
from stepwell.terminal import notify
from stepwell_schemas.rules.content import MASK
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.delivery.connection import Connection
    from stepwell.delivery.publisher import Publisher
    from stepwell.delivery.sign_of_life import SignOfLife
    from stepwell.delivery.transport import Transport
    from stepwell.journal.reader import Reader
    from stepwell.settings import ProducerSettings

_FORKS_POLL_SECONDS: Final = 2.0
_ORPHANS_POLL_SECONDS: Final = 15.0


class _Lane(NamedTuple):
    """A journal with its reader and publisher."""

    journal: Journal
    reader: Reader
    publisher: Publisher


def _lane(journal: Journal, transport: Transport) -> _Lane:
    from stepwell.delivery.publisher import Publisher
    from stepwell.journal.reader import Reader

    reader = Reader(check=False, first_step=journal.info.first_step)
    reader.skip_to(journal, journal.acknowledged)
    publisher = Publisher(transport, journal.info, reader, journal.acknowledge, journal.path)
    return _Lane(journal, reader, publisher)


class Sender:
    """Delivers orphaned journals, then `journal`, until it is drained or the timeout ends it."""

    def __init__(
        self,
        journal: Journal,
        settings: ProducerSettings,
        orphans: Orphans,
        others: OtherRuns | None = None,
        page: str = "",
    ) -> None:
        """Prepare delivery. `page`: a notice of the run's page, printed once there is a server."""
        self._thread = SenderThread(journal, self._main, self._report_stop, settings.retry_seconds)
        self._journal = journal
        self._settings = settings
        self._orphans = orphans
        self._others = others
        self._page = page
        self._journals = [journal]
        self._has_forked = False
        self._next_orphan_check = 0.0
        self._error = ""
        self._rejection = ""
        self._rejected = 0
        self._content = 0
        self._blocked = Blocked.NO_BROKER
        self._reported: Blocked | None = None
        self._lanes: list[_Lane] = []
        self._life: SignOfLife | None = None
        self._drained = False

    @property
    def error(self) -> str:
        """Reason why nothing is delivered now, or something could not be delivered; "" if all is well."""
        return self._error or self._rejection or self._orphans.error

    @property
    def blocked(self) -> Blocked:
        """Reason why nothing is delivered now, as a code."""
        if self._drained:
            return Blocked.NOTHING
        return Blocked.MESSAGE_TOO_LARGE if any(lane.publisher.refusing for lane in self._lanes) else self._blocked

    @property
    def set_aside(self) -> int:
        """Number of records that could not be delivered and were set aside."""
        return self._rejected + sum(lane.publisher.rejected for lane in self._lanes)

    @property
    def content(self) -> int:
        """Content of the session's acknowledged rows (`rules.content`), without those of side streams."""
        own = sum(lane.publisher.content for lane in self._lanes if lane.journal is self._journal)
        return (self._content + own) & MASK

    @property
    def recovered(self) -> int:
        """Number of records delivered from orphaned journals."""
        return self._orphans.delivered

    def start(self) -> None:
        """Start the thread; if that fails, it is tried again."""
        self._thread.start()

    def add_journal(self, journal: Journal) -> None:
        """Deliver another journal of this session, too."""
        self._journals.append(journal)

    def expect_forks(self) -> None:
        """Check frequently for orphaned journals of forked children."""
        self._has_forked = True
        self._next_orphan_check = 0.0

    def drain(self, timeout: float) -> None:
        """Deliver the remaining records, for at most `timeout` seconds, and stop."""
        if not self._thread.end(max(0.0, timeout)):
            self._blocked = self.blocked or Blocked.NO_ACKNOWLEDGEMENT
            older = "; an older journal of this run comes first" if self._blocked is Blocked.OLDER_JOURNAL else ""
            self._error = self._error or self._orphans.error or f"not delivered within {timeout:g} s{older}"
            self._thread.cancel()

    def remove_recovered(self) -> None:
        """Remove the journals of earlier sessions that were delivered."""
        self._orphans.remove_delivered()

    async def _main(self) -> None:
        # Imported in this thread, so that `import stepwell` and `init()` stay fast.
        with importing():
            import stepwell.delivery.journal_file
            import stepwell.delivery.publisher  # noqa: F401 - what is used later, so that nothing is left to import
            from stepwell.delivery.connection import Connection
            from stepwell.delivery.sign_of_life import SignOfLife
            from stepwell.delivery.transport import TransportError
            from stepwell.errors import NotConnectedError

        self._life = self._life or SignOfLife(self._journal.info, time.monotonic())
        connection = Connection(self._settings, self._journal.info.run_id)
        while not self._drained:
            before, draining = self._count_delivered(), self._thread.ending
            try:
                await self._deliver(connection)
                return
            except (TransportError, NotConnectedError, OSError, TimeoutError) as error:
                blocked = classify_error(error)
                remedy = START_REMEDY if blocked is Blocked.NO_BROKER else ""
                if isinstance(error, TransportError | NotConnectedError):
                    remedy = error.remedy
                self._report_failure(blocked, str(error) or type(error).__name__, remedy)
                delay = connection.failed(error, progressed=self._count_delivered() > before)
                final = not connection.may_succeed(error)
                if final:
                    self._error = "; ".join(filter(None, (self._error, remedy)))
                # A server that was reachable before may come back; if none ever was, don't wait at the end. A final
                # answer on a connection of the drain is one about this run, not about another run's journal.
                if (self._thread.ending and not connection.connected) or (draining and final):
                    return
                asked = error.retry_after if isinstance(error, TransportError) else 0.0
            await self._thread.pause(delay, asked)

    def _count_delivered(self) -> int:
        return self.recovered + sum(journal.acknowledged.sequence for journal in self._journals)

    async def _deliver(self, connection: Connection) -> None:
        """Deliver over a new connection until it fails, or until everything is delivered after `drain`."""
        transport = await connection.open()
        self._clear_failure()
        if self._page:
            notify(self._page)
            self._page = ""
        try:
            # Before the session's own journal, so that Kafka has the records in the order of logging.
            self._blocked = Blocked.OLDER_JOURNAL
            await self._orphans.deliver(transport, wait=True)
            self._blocked = Blocked.NOTHING
            while not self._drained:
                await self._deliver_once(transport)
        finally:
            for lane in self._lanes:
                lane.publisher.cancel_pending()
                self._rejection = lane.publisher.rejection or self._rejection
            self._rejected, self._content, self._lanes = self.set_aside, self.content, []
            if self._others is not None:
                await self._others.pause()
            await transport.stop()

    async def _deliver_once(self, transport: Transport) -> None:
        """Send the available records, or wait if there are none; set `_drained` after the last record."""
        # Read before the ends below: everything logged before the drain then lies before these ends.
        draining, lanes = self._thread.ending, self._lanes
        lanes += [_lane(journal, transport) for journal in self._journals[len(lanes) :]]
        await self._give_sign_of_life(transport)
        ends = [lane.journal.end for lane in lanes]
        if any([await lane.publisher.send(lane.journal, end) for lane, end in zip(lanes, ends, strict=True)]):
            return
        for lane in lanes:
            await lane.publisher.flush()
        if any([await self._send_settled(lane) for lane in lanes]):
            return
        if (draining and self._has_forked) or time.monotonic() >= self._next_orphan_check:
            seconds = _FORKS_POLL_SECONDS if self._has_forked else _ORPHANS_POLL_SECONDS
            self._next_orphan_check = time.monotonic() + seconds
            await self._orphans.deliver(transport)
        if not draining:
            # One part at a time: the run's own records come first.
            if self._others is None or not await self._others.send_part(transport):
                await self._thread.pause(self._settings.poll_seconds)
            return
        self._drained = True
        for journal, reader, _ in lanes:
            damage = reader.damage(journal)
            if damage is not None:
                self._report_failure(Blocked.NOTHING, f"the journal {journal.path} is {damage}")

    async def _give_sign_of_life(self, transport: Transport) -> None:
        now, info = time.monotonic(), self._journal.info
        if self._life is not None and self._life.is_due(now, self._journal.acknowledged.sequence):
            event = self._life.next_event(now, time.time_ns() // 1000)
            key = RunPath(info.entity, info.project, info.run_id).kafka_key
            await transport.wait(await transport.send(event, key))

    async def _send_settled(self, lane: _Lane) -> bool:
        """Report damage; send what was being written just before, and return whether there was anything.

        If the last segment can't be read to its end, the journal moves on to a new one.
        """
        journal, reader, publisher = lane
        if reader.gaps:
            journal.keep_damaged(gap.segment for gap in reader.gaps)
            self._report_failure(Blocked.NOTHING, f"the journal {journal.path} is {reader.gaps[0]}")
        end = journal.settled_end()
        sent = await publisher.send(journal, end)
        if not sent and reader.position.offset < end:
            journal.begin_segment_next()
        return sent

    def _report_stop(self, error: str) -> None:
        self._report_failure(Blocked.SENDER_STOPPED, error)

    def _report_failure(self, blocked: Blocked, error: str, remedy: str = "") -> None:
        """Keep a failure, and print it unless the last one had the same reason."""
        self._blocked, self._error = blocked, error
        if self._reported is not blocked:
            self._reported = blocked
            when = "the sender starts again" if blocked is Blocked.SENDER_STOPPED else "a server answers"
            notify(
                f"{error}: training continues; data are kept in {self._journal.path} and sent when {when}; "
                + (f"{remedy}, or deliver them later with `stepwell sync`" if remedy else "or with `stepwell sync`")
            )

    def _clear_failure(self) -> None:
        self._error = ""
        self._reported = None
