"""Deletions of runs in the fault harness: written to the log while everything is killed, and applied to the model.

Sessions that run when their run is deleted go on logging: nothing of theirs may be stored any more. Sessions that begin
afterwards log to a new run of the same name.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reliability.faults.model import RunModel
from reliability.faults.producers import Target, Trainer
from stepwell_gateway.changes import deletion_event
from stepwell_schemas.events.codec import encode
from stepwell_schemas.rules.identifiers import RunPath

_REQUEST_MS: Final = 3_000
_RETRY_SECONDS: Final = 0.2


class RunDeletion:
    """The deletion of one run. Until the broker has it, no session of the run begins.

    So every session is older than the deletion, or begins after it, and the model can tell which. `restarts`: the
    sessions that run are killed when the broker has it.
    """

    def __init__(
        self, target: Target, path: RunPath, model: RunModel, trainers: Sequence[Trainer], *, restarts: bool
    ) -> None:
        self.path = path
        self.done = False
        self._target = target
        self._model = model
        self._trainers = trainers
        self._restarts = restarts
        self._stop = threading.Event()
        for trainer in trainers:
            trainer.hold(time.monotonic())
        self._payload = encode(deletion_event(path, time.time_ns() // 1_000))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), name="deletion", daemon=True)
        self._thread.start()

    def supervise(self, now: float) -> None:
        """Apply the deletion to the model when the broker has it, and let sessions begin again."""
        if self.done or self._thread.is_alive():
            return
        self._model.delete()
        for trainer in self._trainers:
            trainer.run_was_deleted()
            if self._restarts:
                trainer.kill(now, 0.0)
        self.done = True

    def stop(self) -> None:
        """Give up."""
        self._stop.set()
        self._thread.join()

    async def _send(self) -> None:
        # An attempt without an answer may have been carried out: the event is sent again, and counts once.
        while not self._stop.is_set():
            producer = AIOKafkaProducer(**self._target.settings.kafka_connection(), request_timeout_ms=_REQUEST_MS)
            try:
                await producer.start()
                await producer.send_and_wait(self._target.settings.events_topic, self._payload, key=self.path.kafka_key)
            except KafkaError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return
            finally:
                await producer.stop()
