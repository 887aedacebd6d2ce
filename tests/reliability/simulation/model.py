"""Model of the data that a log results in, in plain Python: each record once, the step rule, later values win."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, str, str]


@dataclass(frozen=True)
class Call:
    """One `log()` call; `timestamp` in microseconds since the epoch."""

    data: Mapping[str, Any]
    step: int | None
    commit: bool | None
    timestamp: int


@dataclass(frozen=True)
class Change:
    """Changes of a run other than values: config entries, and a new state of the run, if any."""

    config: Mapping[str, Any]
    removed: Sequence[str] = ()
    state: str | None = None


@dataclass
class RunModel:
    """One run: its values by kind, key and step, its metadata, and its counters."""

    values: dict[tuple[str, str], dict[int, Any]] = field(default_factory=dict)
    conflicts: list[tuple[str, int, int]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    log_rows: int = 0
    points: int = 0
    repeated: int = 0
    missing: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    _current: dict[str, int] = field(default_factory=dict)
    _spellings: dict[str, str] = field(default_factory=dict)

    def take(self, writer: str, session: str, sequence: int, records: Sequence[Call | Change]) -> None:
        """Apply an event; numbered records that were applied before count as repeated."""
        if session:
            following = self.sessions.get(session, 0)
            self.missing += max(sequence - following, 0)
            skipped = min(max(following - sequence, 0), len(records))
            self.repeated += skipped
            self.sessions[session] = max(following, sequence + len(records))
            records = records[skipped:]
        for record in records:
            if isinstance(record, Call):
                self._log(writer, record)
            else:
                self._change(record)

    def _log(self, writer: str, call: Call) -> None:
        current = self._current.get(writer, 0)
        if call.step is not None and call.step >= current:
            step = call.step
            self._current[writer] = step + (call.commit is True)
        else:
            step = current
            self._current[writer] = step + (call.commit is not False)
            if call.step is not None:
                self.conflicts.append((writer, call.step, step))
        self.log_rows += 1
        for key, value in call.data.items():
            if key:
                kind, shown = stored_form(value)
                stored = self._spellings.setdefault(key.casefold(), key)
                self.values.setdefault((kind, stored), {})[step] = shown
                self.points += 1

    def _change(self, change: Change) -> None:
        if change.state == "running":
            # The start of a run removes nothing.
            self.config |= change.config
        else:
            kept = {key: value for key, value in self.config.items() if key not in change.removed}
            self.config = kept | dict(change.config)
        self.state = change.state or self.state


def stored_form(value: Any) -> tuple[str, Any]:
    """Return a value's kind and its comparable form: numbers by their bits and exact text, others unchanged."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int | float):
        exact = str(value) if isinstance(value, int) and int(float(value)) != value else ""
        return "number", (bits(float(value)), exact)
    if isinstance(value, str):
        return "string", value
    return "other", json.dumps(value)


def bits(value: float) -> int:
    """Return the 64 bits of a number, which distinguish NaN and -0.0."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
