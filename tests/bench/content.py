"""Cost of the content of rows: processor time of a batch with it and without it, in the sender and in the planner."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np

from stepwell.delivery import batching
from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import MemoryJournal
from stepwell.journal.reader import Reader
from stepwell.recording.row_writer import RowWriter
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, decode, encode
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.steps import StepState

_PATH = RunPath("bench", "content", "run")
_INFO = JournalInfo(*_PATH, session="s", writer="", lineage="s")
_KEYS = [f"train/metric_{number:02d}" for number in range(50)]
_ROWS = 2_500
_ROUNDS = 31


def _journal(rows: int, keys: int) -> MemoryJournal:
    journal = MemoryJournal(Path("/nonexistent/bench"), _INFO, 256 * MIB, "drop")
    writer = RowWriter(journal, 0, "run")
    values = np.random.default_rng(0).standard_normal((rows, keys))
    for row in values.tolist():
        writer.log(dict(zip(_KEYS, row, strict=False)), None, None)
    return journal


def _encode(journal: MemoryJournal) -> list[bytes]:
    items = Reader(check=False).read_all(journal)
    return [event.payload for event in encode_events(split_into_events(items), _INFO, 0, StepState())]


def _encode_plain(journal: MemoryJournal) -> None:
    with patch.object(batching, "items_content", lambda *_: 0), patch.object(batching, "row_weights", lambda *_: None):
        _encode(journal)


def _plan(payloads: list[bytes]) -> None:
    messages = [Message(offset, 0, _PATH.kafka_key, payload) for offset, payload in enumerate(payloads)]
    received, dead = receive_all(Codec(), messages)
    plan_flush(received, dead, {_PATH: RunState()}, len(messages))


def _without_content(payloads: list[bytes]) -> list[bytes]:
    events = [decode(payload) for payload in payloads]
    assert all(isinstance(event, LogBatch) for event in events)
    return [encode(event.model_copy(update={"content": None})) for event in events]


def _seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _compare(name: str, with_it: Callable[[], object], without: Callable[[], object], rounds: int) -> None:
    """Print the medians, in turns, of the time with and without the content."""
    pairs = [(_seconds(with_it), _seconds(without)) for _ in range(rounds)]
    mine, base = (median(side) for side in zip(*pairs, strict=True))
    least, least_base = (min(side) for side in zip(*pairs, strict=True))
    print(
        f"{name:<34} {mine * 1e3:8.3f} ms with, {base * 1e3:8.3f} ms without: ratio {mine / base:.3f}"
        f" (least {least * 1e3:.3f} and {least_base * 1e3:.3f}: {least / least_base:.3f})"
    )


def main() -> None:
    """Print the figures of large batches and of batches of one row."""
    for rows, keys in ((_ROWS, 50), (_ROWS, 1), (1, 50), (1, 1)):
        journal = _journal(rows, keys)
        payloads = _encode(journal)
        plain = _without_content(payloads)
        rounds = _ROUNDS if rows > 1 else 20 * _ROUNDS

        shape = f"{rows:,} x {keys}"
        _compare(f"sender, {shape}", partial(_encode, journal), partial(_encode_plain, journal), rounds)
        _compare(f"planner, {shape}", partial(_plan, payloads), partial(_plan, plain), rounds)


if __name__ == "__main__":
    main()
