"""Senders of a schedule whose environment changes: each row has a step and a key of its own.

So each value has one place in the tables, whatever the log has lost, and wherever an ingestor began to read.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from stepwell_ingestor.messages import Message
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_BEGIN: Final = 1_700_000_000_000_000
_MOST_ROWS: Final = 4


class Sent(NamedTuple):
    """One message: its session and the numbers of its rows."""

    session: str
    first: int
    rows: int


@dataclass
class Sender:
    """A session of a run: it sends rows again until they are acknowledged, and never after that.

    Attributes:
        acknowledged: the number of rows that the broker has confirmed.
        written: the number of rows that were logged.
    """

    path: RunPath
    name: str
    partition: int
    acknowledged: int = 0
    written: int = 0
    sent: list[Sent] = field(default_factory=list)

    def log(self, rows: int) -> None:
        """Log rows, which are to be sent."""
        self.written += rows

    def send(self, rng: random.Random, acknowledge: float) -> Message | None:
        """Return the next message, of rows that are not acknowledged, or None; its answer comes with a probability."""
        first = self.acknowledged
        if first == self.written:
            return None
        rows = min(rng.randint(1, _MOST_ROWS), self.written - first)
        self.sent.append(Sent(self.name, first, rows))
        if rng.random() < acknowledge:
            self.acknowledged = first + rows
        return Message(0, _BEGIN // 1_000, self.path.kafka_key, self._encode(first, rows))

    def _encode(self, first: int, rows: int) -> bytes:
        steps = np.arange(first, first + rows, dtype="<i8")
        values = (steps + 0.5).astype("<f8")
        batch = {
            "session": self.name,
            "sequence": first,
            "writer": self.name,
            "rows": rows,
            "timestamps": (_BEGIN + 1_000 * steps).tobytes(),
            "steps": steps.tobytes(),
            "commits": None,
            "blocks": [Block(kind=Kind.NUMBER, keys=[self.name], rows=None, packed=values.tobytes())],
        }
        return encode(LogBatch.model_validate({**self.path._asdict(), **batch}))


def draw_senders(rng: random.Random, partitions: int) -> Mapping[str, Sender]:
    """Return the senders of a schedule, by session."""
    runs = [RunPath("me", "p", f"run-{number}") for number in range(rng.choice((1, 1, 2, 3)))]
    place = {run: rng.randrange(partitions) for run in runs}
    names = [(run, f"{run.run_id}-s{number}") for run in runs for number in range(rng.randint(1, 2))]
    return {name: Sender(run, name, place[run]) for run, name in names}
