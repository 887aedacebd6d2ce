"""A schedule of training processes: their journals are real files with real locks, their senders the real ones.

Files lie in memory. Time, the event loop and the broker are the simulation's; a killed process keeps its files and
loses its locks. Each process begins as `init()` does, with `find_orphans` and `open_session`, and runs the sender's
coroutine as a task, where a real process has a thread for it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest.mock import patch

from reliability.simulation.clock import PROCESS, Process
from reliability.simulation.order import Logged, check_order, check_steps
from reliability.simulation.reference import Differences
from reliability.simulation.world import SESSION_SECONDS, Faults, World
from stepwell.delivery import connection, journal_file, kafka_transport, orphans, publisher, sender
from stepwell.delivery.transport import TransportError
from stepwell.journal import journal, locks, owner, stored
from stepwell.journal.format import Header, JournalInfo, read_header
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
from stepwell.session import open as opening
from stepwell.session.resume import find_start_point
from stepwell.session.spec import RunSpec
from stepwell.settings import ProducerSettings
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.servers.scratch import MEMORY

RUN: Final = RunPath("me", "p", "run")
_MOST_PROCESSES: Final = 3
_MOST_STEPS: Final = 60
_MOST_REQUESTS: Final = 8
_SETTLE_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.5


@lru_cache(1_024)
def _remember_header(data: bytes, name: str) -> Header:
    """Read the header of a journal once: sessions look at each one dozens of times, and it is JSON with checksums."""
    return read_header(data, name)


class _Producer:
    """A producer whose requests arrive in the order of sending. After one that failed, all others fail."""

    cluster_id = ""
    generation = 0
    max_message_bytes = MIB

    def __init__(self, world: World, process: Process, log: list[bytes]) -> None:
        self._world = world
        self._process = process
        self._log = log
        self._arrives_at = 0.0
        self._failed = False

    async def send(self, value: bytes, key: bytes) -> asyncio.Future[Any]:
        """Send an event; return the future of its acknowledgement."""
        world, future = self._world, self._world.loop.create_future()
        self._arrives_at = max(self._arrives_at, world.loop.time() + world.delay())
        world.later(self._arrives_at - world.loop.time(), self._arrive, value, future)
        self._process.reached("request")
        await asyncio.sleep(0)
        return future

    async def wait(self, future: asyncio.Future[Any]) -> None:
        """Wait for an acknowledgement."""
        await future

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Do nothing: no event is refused because of its size."""

    async def stop(self) -> None:
        """Disconnect. Without a pause, so that the coroutine of a dead process can be closed."""

    def _arrive(self, value: bytes, future: asyncio.Future[Any]) -> None:
        world, faults = self._world, self._world.faults
        if not self._process.alive and world.chance(faults.dropped):
            return
        self._failed = self._failed or world.chance(faults.send_before)
        if not self._failed:
            self._log.append(value)
        lost = self._failed or world.chance(faults.send_after)
        self._failed = lost
        world.later(world.delay(), _answer, future, lost)


def _answer(future: asyncio.Future[Any], lost: bool) -> None:
    if not future.done():
        if lost:
            future.set_exception(TransportError())
        else:
            future.set_result(None)


class _Trainer:
    """One process: a session with its journal and its sender."""

    def __init__(self, process: Process, logged: Logged, written: Journal, delivery: sender.Sender) -> None:
        self.process = process
        self.logged = logged
        self.journal = written
        self.sender = delivery
        self.rows = RowWriter(written, written.info.first_step, RUN.run_id)
        self.task: asyncio.Task[None]

    def log(self) -> None:
        """Log a row."""
        self.rows.log({"row": float(self.logged.first + self.logged.rows)}, None, None)
        self.logged.rows += 1

    def drain(self) -> None:
        """Let the sender deliver the rest and end, as `finish()` does."""
        thread = self.sender._thread
        thread.ending = True
        if thread._wake is not None:
            thread._wake.set()


class TrainingProcesses:
    """Processes of one run that log, end, crash and freeze, and that recover what earlier ones have left.

    With `ranks`, they are the ranks of one job: writers of their own, one process each, that log the same key. Some of
    them fail together, and those that are missing are started together.
    """

    def __init__(self, world: World, ranks: int = 0) -> None:
        self.processes: list[Process] = []
        self._world = world
        self._log: list[bytes] = []
        self._logged: list[Logged] = []
        self._running: dict[Process, _Trainer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._locks: dict[int, Process] = {}
        self._clock = 1_700_000_000.0
        self._ranks = ranks
        self._writers = [f"rank{rank}" for rank in range(ranks)] or world.rng.choice([[""], ["a", "b"], ["", "a"]])
        self._settings: ProducerSettings

    async def run(self) -> None:
        """Let processes come and go; then wait until everything is delivered."""
        folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
        try:
            with self._replaced(folder):
                await self._run()
        finally:
            for trainer in list(self._running.values()):
                self._kill(trainer.process)
            shutil.rmtree(folder)

    def compare(self) -> Differences:
        """Compare the log with what was logged, and with its order."""
        self._world.counts["training schedules"] = 1
        found = check_order(self._log, self._logged)
        if not self._ranks:
            return found
        return found._replace(problems=found.problems + check_steps(self._log, self._logged))

    async def _run(self) -> None:
        rng = self._world.rng
        self._world.faults = Faults.drawn(rng) if rng.random() < 0.7 else Faults()
        for _ in range(rng.randint(3, 10)):
            self._happen()
            await asyncio.sleep(rng.expovariate(2.0))
        self._world.note("recover")
        self._world.faults = Faults()
        for trainer in list(self._running.values()):
            self._world.resume(trainer.process)
            trainer.drain()
        await self._wait()
        for writer in self._writers:
            self._start(writer).drain()
            await self._wait()

    async def _wait(self) -> None:
        deadline = self._world.loop.time() + _SETTLE_SECONDS
        while self._running:
            if self._world.loop.time() > deadline:
                self._world.problems.append(f"not delivered within {_SETTLE_SECONDS:g} s")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _happen(self) -> None:
        rng = self._world.rng
        if (startable := self._startable()) and rng.random() < 0.2:
            self._leave_journals(rng.choice(startable))
        if self._ranks:
            self._start_ranks()
        elif len(self._running) < _MOST_PROCESSES and (not self._running or rng.random() < 0.5):
            # Ranks of a restarted job begin in the same moment.
            for _ in range(rng.choice((1, 1, 2))):
                self._start(rng.choice(self._writers))
        for trainer in list(self._running.values()):
            for _ in range(rng.choice((0, 1, 3, 20))):
                if trainer.process.alive and not trainer.process.stopped:
                    trainer.log()
        if self._running and rng.random() < 0.6:
            trainers = list(self._running.values())
            struck = rng.choice((1, len(trainers))) if self._ranks else 1
            for trainer in rng.sample(trainers, struck):
                self._strike(trainer)

    def _startable(self) -> list[str]:
        """Return the ranks that are not running; all writers, if they are no ranks."""
        running = {trainer.logged.writer for trainer in self._running.values()} if self._ranks else set()
        return [writer for writer in self._writers if writer not in running]

    def _start_ranks(self) -> None:
        """Start missing ranks: all of them, as a launcher does, or some, as on a node that has failed."""
        rng, missing = self._world.rng, self._startable()
        if missing and (not self._running or rng.random() < 0.7):
            for writer in rng.sample(missing, rng.choice((len(missing), rng.randint(1, len(missing))))):
                self._start(writer)

    def _leave_journals(self, writer: str) -> None:
        """Let sessions run one after the other while no broker can be reached; the clock may be set back meanwhile."""
        rng = self._world.rng
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.3:
                self._clock -= rng.choice((1.0, 3_600.0))
            trainer = self._open(writer)
            for _ in range(rng.randint(1, 20)):
                trainer.log()
            self._kill(trainer.process)

    def _strike(self, trainer: _Trainer) -> None:
        rng, world, process = self._world.rng, self._world, trainer.process
        what = rng.choice(("kill", "kill", "pause", "drain"))
        if what == "drain":
            trainer.drain()
            return
        moment, most = rng.choice((("step", _MOST_STEPS), ("request", _MOST_REQUESTS)))
        seconds = rng.uniform(0.2, 4.0) * SESSION_SECONDS
        blow = (lambda: self._kill(process)) if what == "kill" else (lambda: world.pause(process, seconds))
        process.strike(moment, rng.randint(1, most), blow)

    def _start(self, writer: str) -> _Trainer:
        trainer = self._open(writer)
        process, loop = trainer.process, self._world.loop
        trainer.task = loop.create_task(trainer.sender._thread.run_in_loop(), context=process.context.copy())
        self._tasks.append(trainer.task)
        self._world.watch(trainer.task, lambda _: self._ended(process))
        return trainer

    def _open(self, writer: str) -> _Trainer:
        """Open a session, as `init()` does, in a process of its own."""
        process = Process(f"t{self._world.counts['trainers']}")
        self.processes.append(process)
        self._world.counts["trainers"] += 1
        trainer = process.context.run(self._open_session, process, writer)
        self._world.note(f"start {process.name} {writer!r} {trainer.journal.info.generation}")
        self._running[process] = trainer
        self._logged.append(trainer.logged)
        return trainer

    def _open_session(self, process: Process, writer: str) -> _Trainer:
        spec = RunSpec(
            RUN, writer, "", "", (), "", "", {}, "online", "", quiet=True, keep_journal=False
        )._replace(**self._start_point(writer))  # fmt: skip
        # Names of journals come from the seed, since recovery looks at them in their order.
        with patch.object(secrets, "token_hex", lambda _: f"{self._world.rng.randrange(1_000)}-{process.name}"):
            output = opening.open_session(spec, self._settings)
        before = {one.session for one in self._logged if one.ended and one.writer == writer}
        earlier = sum(one.rows for one in self._logged if one.writer == writer) if self._ranks else 0
        logged = Logged(output.journal.info.session, writer, before, earlier)
        return _Trainer(process, logged, output.journal, cast("sender.Sender", output.delivery))

    def _start_point(self, writer: str) -> dict[str, Any]:
        """Return the fields of a session that say where it starts: of a rank after its own journals only."""
        if not self._ranks:
            left = orphans.find_orphans(opening.open_folders(self._settings), RUN)
            return {"first_step": orphans.last_logged_step(left) + 1}
        start = find_start_point(RUN, writer, "", self._settings, "online")
        return {
            "first_step": start.first_step,
            "lineage": start.lineage.session,
            "lineage_step": start.lineage.step,
        }

    def _kill(self, process: Process) -> None:
        self._world.kill(process)
        trainer = self._running.pop(process, None)
        if trainer is not None:
            trainer.logged.ended = True
        for lock in [lock for lock, holder in self._locks.items() if holder is process]:
            locks.release(lock)
            del self._locks[lock]

    def _is_running(self, info: JournalInfo) -> bool:
        return any(trainer.journal.info.session == info.session for trainer in self._running.values())

    def _ended(self, process: Process) -> None:
        trainer = self._running.pop(process, None)
        if trainer is None:
            return
        self._world.note(f"end {process.name}")
        trainer.logged.ended = True
        if trainer.task.exception() is not None:
            self._world.problems.append(f"{process.name} ended with {trainer.task.exception()!r}")
        trainer.journal.close()
        process.context.run(trainer.journal.release)
        # As a process whose end takes a while: its journal stays until another session has looked at it.
        process.alive = False

    @contextmanager
    def _replaced(self, folder: Path) -> Iterator[None]:
        """Give the SDK's modules this schedule's time, broker and folder."""
        self._settings = ProducerSettings(
            kafka_bootstrap_servers="simulated", dir=folder, retry_seconds=0.5, deliver_other_runs=False
        )
        loop, lock_file = self._world.loop, locks._lock
        time = SimpleNamespace(
            monotonic=loop.time,
            sleep=lambda _: None,
            time_ns=lambda: round((self._clock + loop.time()) * 1_000_000_000),
        )

        def lock(path: Path, operation: int) -> int | None:
            taken, process = lock_file(path, operation), PROCESS.get()
            if taken is not None and process is not None:
                self._locks[taken] = process
            return taken

        async def open_kafka(_: ProducerSettings, ack_seconds: float, start_seconds: float | None) -> _Producer:
            del ack_seconds, start_seconds
            process = PROCESS.get()
            assert process is not None
            await asyncio.sleep(self._world.delay())
            return _Producer(self._world, process, self._log)

        with ExitStack() as stack:
            for module in (opening, orphans, sender):
                stack.enter_context(patch.object(module, "time", time))
            for module in (opening, orphans, sender, publisher):
                stack.enter_context(patch.object(module, "notify", lambda _: None))
            stack.enter_context(patch.object(locks, "_lock", lock))
            stack.enter_context(patch.object(kafka_transport, "open_kafka", open_kafka))
            # The jitter of reconnecting.
            stack.enter_context(patch.object(connection, "random", self._world.rng))
            stack.enter_context(patch.object(tempfile, "tempdir", str(folder)))
            # Recovery reads small parts, so that it can be interrupted between them.
            stack.enter_context(patch.object(journal_file, "READ_BYTES", 256))
            stack.enter_context(patch.object(owner, "is_running", self._is_running))
            # The answer for a folder in memory. To look it up among the machine's mounts takes longer than a claim.
            stack.enter_context(patch.object(owner, "is_local", lambda _: True))
            stack.enter_context(patch.object(stored, "read_header", _remember_header))
            # Heartbeats are for other hosts, of which there are none.
            stack.enter_context(
                patch.object(journal, "HEART", SimpleNamespace(add=lambda _: None, remove=lambda _: None))
            )
            yield
