"""Model of the stored data, in plain Python: the step rule, later values win, keys are case-insensitive."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Value(NamedTuple):
    """A stored value: its kind, and its form in the view of that kind (numbers by their bits)."""

    kind: str
    shown: Any


@dataclass
class RunModel:
    """One run: its values by kind, key and writer, and step, and its counters."""

    values: dict[str, dict[tuple[str, str], dict[int, Any]]] = field(default_factory=dict)
    conflicts: list[tuple[str, int, int]] = field(default_factory=list)
    log_rows: int = 0
    points: int = 0
    last_step: int = -1
    deletions: int = 0
    _current: dict[str, int] = field(default_factory=dict)
    _begun: set[tuple[str, int]] = field(default_factory=set)
    _spellings: dict[str, str] = field(default_factory=dict)

    def delete(self) -> None:
        """Forget everything: what is logged from now on belongs to a new run."""
        vars(self).update(vars(RunModel(deletions=self.deletions + 1)))

    def begin(self, writer: str, step: int) -> None:
        """Begin a session of a writer at a step."""
        self._current[writer] = step
        self._begun = {row for row in self._begun if row[0] != writer}

    def log(self, writer: str, data: Mapping[str, Any], jump: int | None, at: int | None, commit: bool | None) -> int:
        """Apply a call; return the number of its values."""
        current = self._current.get(writer, 0)
        asked = at if jump is None else max(current + jump, 0)
        if asked is not None and asked >= current:
            step = asked
            self._current[writer] = step + 1 if commit else step
        else:
            step = current
            if asked is not None:
                # A row of its own: not the one at the current step if a call has written there.
                step += (writer, step) in self._begun
                self.conflicts.append((writer, asked, step))
            self._current[writer] = step if commit is False else step + 1
        self._begun.add((writer, step))
        self.log_rows += 1
        self.last_step = max(self.last_step, step)
        cells = flat(data)
        for key, (kind, shown) in cells.items():
            stored = self._spellings.setdefault(key.casefold(), key)
            self.values.setdefault(kind, {}).setdefault((stored, writer), {})[step] = shown
        self.points += len(cells)
        return len(cells)


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return the values of a call by their dotted keys."""
    found: dict[str, Value] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = _value(value)
    return found


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return Value("bools", value)
    if isinstance(value, int | float):
        exact = str(value) if isinstance(value, int) and int(float(value)) != value else ""
        return Value("numbers", (bits(float(value)), exact))
    if isinstance(value, str):
        return Value("strings", value)
    return Value("others", json.loads(json.dumps(value)))


def bits(value: float) -> int:
    """Return the 64 bits of a number, which distinguish NaN and -0.0."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
