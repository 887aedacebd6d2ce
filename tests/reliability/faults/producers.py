"""Training processes that are killed and restarted, and a foreign producer; both update the model."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reliability.faults.cluster import STEPWELL
from reliability.faults.model import RunModel
from reliability.faults.part import Part
from reliability.faults.workload import FOREIGN_EVENTS, Writer, foreign_event
from stepwell.journal.items import JsonRow, Rows
from stepwell.journal.reader import Reader
from stepwell.journal.stored import StoredJournal
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings

FOREIGN_RUN: Final = "foreign"
_FOREIGN_PAUSE_SECONDS: Final = 0.02
_HTTP_SHARE: Final = 0.5
_HTTP: Final = {"STEPWELL_TRANSPORT": "http", "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": ""}


def uses_http(seed: int, writer: Writer) -> bool:
    """Return whether a writer reaches the gateway alone, as about half of them do."""
    return random.Random(f"{seed} {writer.name} transport").random() < _HTTP_SHARE


class Target(Protocol):
    """The addresses that producers log to."""

    settings: KafkaSettings
    environment: dict[str, str]


class Trainer:
    """A writer of a run: one session after the other until all of its calls are made.

    The calls of a killed session are those in its journal: at least all calls that returned, and at most the one that
    was running.
    """

    def __init__(self, target: Target, seed: int, writer: Writer, model: RunModel, folder: Path) -> None:
        self.writer = writer
        self.killed = 0
        self.exits: list[int] = []
        self.receipts: list[dict[str, Any]] = []
        self.done = False
        self.over_http = uses_http(seed, writer)
        self._held = False
        self._run_is_deleted = False
        self._is_dropped = False
        self._environment = {
            **target.environment,
            "STEPWELL_ENTITY": "faults",
            "STEPWELL_SYSTEM_SECONDS": "0",
            "STEPWELL_CONSOLE": "off",
            "STEPWELL_PROJECT": project(seed),
            "STEPWELL_DIR": str(folder),
            # Names of writers are claimed below it, for this seed only.
            "TMPDIR": str(folder),
            **(_HTTP if self.over_http else {}),
            **writer.launch,
        }
        self._seed = seed
        self._model = model
        self._folder = folder
        self._first = 0
        self._syncing = False
        self._sessions = 0
        self._pause_ms = random.Random(f"{seed} {writer.name} pause").choice([2, 5, 10])
        self._session: Part | None = None
        self._journal: Path | None = None

    @property
    def name(self) -> str:
        """Name of the writer in a schedule."""
        return f"{self.writer.run}-{self.writer.name}" if self.writer.name else self.writer.run

    def supervise(self, now: float) -> None:
        """Start the next session if none runs."""
        if self.done:
            return
        if self._session is None and self._syncing:
            self._sync()
        elif self._session is None and self._held:
            return
        elif self._session is None:
            self._start()
        assert self._session is not None
        self._session.continue_when_due(now)
        self._open_journal()
        code = self._session.ended
        if code is not None and self._syncing:
            self.done, self._session = code == 0, None
        elif code is not None:
            self._account(code)

    def kill(self, now: float, _: float) -> None:
        """Send SIGKILL, and apply the session's calls to the model."""
        if self._session is not None and self._session.ended is None:
            self._session.kill(now, 0.0)
            self.killed += 1
            if self._syncing:
                self._session = None
                return
            self._open_journal()
            self._account(None)

    def pause(self, now: float, seconds: float) -> None:
        """Send SIGSTOP, for a while."""
        if self._session is not None:
            self._session.pause(now, seconds)

    def resume(self) -> None:
        """Send SIGCONT."""
        if self._session is not None:
            self._session.resume()

    def stop(self) -> None:
        """Stop the process, finished or not."""
        if self._session is not None:
            self._session.stop()

    def hold(self, now: float) -> None:
        """Begin no session until the run's deletion is in the log; kill one that has not begun visibly."""
        self._held = True
        if not self._syncing and not self._lines():
            self.kill(now, 0.0)

    def run_was_deleted(self) -> None:
        """Take note that the run's deletion is in the log: of the session that runs, nothing more is stored."""
        self._held, self._run_is_deleted = False, True
        self._is_dropped = self._session is not None and not self._syncing

    def _start(self) -> None:
        self._sessions += 1
        progress = self._folder / f"{self.name}-{self._sessions}.progress"
        arguments = [self._seed, self.writer.run, self.writer.name, self._first, progress, self._pause_ms]
        command = [sys.executable, "-m", "reliability.faults.training", *map(str, arguments)]
        self._session = Part(f"{self.name}-{self._sessions}", command, self._environment, self._folder)
        self._session.start()

    def _sync(self) -> None:
        """Run `stepwell sync`, as a user does if the last session could not deliver everything."""
        command = [str(STEPWELL), "sync", str(self._folder)]
        self._session = Part(f"{self.name}-sync", command, self._environment, self._folder)
        self._session.start()

    def _lines(self) -> list[dict[str, Any]]:
        output = self._folder / f"{self.name}-{self._sessions}.log"
        lines = output.read_text(errors="replace").splitlines() if output.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def _open_journal(self) -> None:
        if self._journal is None and not self._syncing and (said := self._lines()):
            self._journal = Path(said[0]["journal"])

    def _account(self, code: int | None) -> None:
        """Apply the calls of the ended session to the model; `code` is None if it was killed."""
        said = self._lines()
        self._session = None
        if code not in {None, 0}:
            self.exits.append(code or 0)
        if not said:
            return
        progress = self._folder / f"{self.name}-{self._sessions}.progress"
        returned = progress.stat().st_size if progress.exists() else 0
        assert self._journal is not None
        rows = rows_in(self._journal)
        self._journal = None
        assert returned <= rows <= returned + 1, f"{self.name}: {returned} calls returned, the journal has {rows} rows"
        step = said[0]["step"]
        model, self._is_dropped = RunModel() if self._is_dropped else self._model, False
        if not self.writer.name:
            # A rank does not resume: it begins at 0 or after its undelivered journals, and requests every step.
            wanted = model.last_step + 1
            # After a deletion, it may begin after journals of the deleted run, which count on this machine.
            fits = step >= wanted if self._run_is_deleted else step == wanted
            assert fits or model is not self._model, (
                f"{self.name}: session {self._sessions} begins at {step}, not {wanted}"
            )
            model.begin("", step)
        points = 0
        for number in range(self._first, self._first + rows):
            data, jump, at, commit = self.writer.call(self._seed, number)
            points += model.log(self.writer.name, data, jump, at, commit)
        self._first += rows
        if code is None and self._first == self.writer.calls:
            # Killed while it finished: only a sync delivers the rest.
            self._syncing = True
        if code == 0:
            assert self._first == self.writer.calls
            self.receipts.append({**said[-1], "wanted_points": points})
            self._syncing = said[-1]["pending"] > 0
            self.done = not self._syncing


def project(seed: int) -> str:
    """Return the project of a seed's runs."""
    return f"seed-{seed}"


def rows_in(path: Path) -> int:
    """Return the number of rows in a journal."""
    found = 0
    with StoredJournal(path) as journal:
        for item in Reader(check=True).read_all(journal):
            found += len(item.array) if isinstance(item, Rows) else isinstance(item, JsonRow)
    return found


class Foreign:
    """Sends numbered `LogEvent`s, some twice, and invalid messages between them; repeats failed ones."""

    def __init__(self, target: Target, seed: int, model: RunModel) -> None:
        self.poison: set[bytes] = set()
        self.done = False
        self._target = target
        self._seed = seed
        self._model = model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send_all()), name="foreign", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the process, finished or not."""
        self._stop.set()
        self._thread.join()

    async def _send_all(self) -> None:
        path = RunPath("faults", project(self._seed), FOREIGN_RUN)
        sequence = 0
        producer: AIOKafkaProducer | None = None
        try:
            for number in range(FOREIGN_EVENTS):
                event = foreign_event(self._seed, number)
                if event.poison:
                    payload = f"poison {self._seed} {number}".encode()
                    self.poison.add(payload)
                else:
                    payload = encode(
                        LogEvent(
                            **path._asdict(),
                            writer="foreign",
                            session="foreign",
                            sequence=sequence,
                            data=event.data,
                            timestamp=time.time_ns() // 1_000,
                        )
                    )
                    sequence += 1
                    self._model.log("foreign", event.data, None, None, None)
                for _ in range(event.times):
                    producer = await self._send(producer, payload, path.kafka_key)
                if self._stop.is_set():
                    return
                await asyncio.sleep(_FOREIGN_PAUSE_SECONDS)
            self.done = True
        finally:
            if producer is not None:
                await producer.stop()

    async def _send(self, producer: AIOKafkaProducer | None, payload: bytes, key: bytes) -> AIOKafkaProducer | None:
        while not self._stop.is_set():
            try:
                if producer is None:
                    producer = AIOKafkaProducer(**self._target.settings.kafka_connection(), request_timeout_ms=3_000)
                    await producer.start()
                await producer.send_and_wait(self._target.settings.events_topic, payload, key=key)
                return producer
            except KafkaError:
                if producer is not None:
                    await producer.stop()
                producer = None
                await asyncio.sleep(0.2)
        return producer
