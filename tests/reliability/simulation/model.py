"""Model of the data that a log results in, in plain Python: each record once, the step rule, later values win."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CLOCKS_DIFFER_US = 10_000_000
"""A row that is later than the start of another session by more was logged after it."""

Path = tuple[str, str, str]
Steps = tuple[int, bool]
"""A current step, and whether a call has written there."""


@dataclass(frozen=True)
class Call:
    """One `log()` call; `timestamp` in microseconds since the epoch."""

    data: Mapping[str, Any]
    step: int | None
    commit: bool | None
    timestamp: int


@dataclass(frozen=True)
class Change:
    """Changes of a run other than values: config entries, and a new state of the run, if any.

    `edit`: someone else than the run makes it.
    """

    config: Mapping[str, Any]
    removed: Sequence[str] = ()
    state: str | None = None
    edit: bool = False


@dataclass
class RunModel:
    """One run: its values by kind, key, writer and step, its metadata, and its counters."""

    values: dict[tuple[str, str, str], dict[int, Any]] = field(default_factory=dict)
    conflicts: list[tuple[str, int, int]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    log_rows: int = 0
    points: int = 0
    repeated: int = 0
    missing: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    exists: bool = False
    deleted_sessions: frozenset[str] = frozenset()
    deleted_at: int | None = None
    _received: dict[str, set[int]] = field(default_factory=dict)
    _steps: dict[str, Steps] = field(default_factory=dict)
    _spellings: dict[str, str] = field(default_factory=dict)
    _starts: dict[str, tuple[int, str]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def delete(self, at: int) -> RunModel:
        """Return the model of the run that may take the name after a deletion at a time in µs."""
        return RunModel(deleted_sessions=self.deleted_sessions | self.sessions.keys(), deleted_at=at)

    def drops(self, session: str, records: Sequence[Call | Change], started: int | None, *, redriven: bool) -> bool:
        """Return True if records are of a deleted run, or an edit of a run that does not exist."""
        if any(isinstance(record, Change) and record.edit for record in records):
            return not self.exists
        if session and session in self.sessions:
            return False
        # A dead letter that is sent again was logged before the deletion, and has no session.
        early = self.deleted_at is not None and ((started is not None and started < self.deleted_at) or redriven)
        if early and session:
            self.deleted_sessions |= {session}
        return early or session in self.deleted_sessions

    def take(
        self,
        writer: str,
        session: str,
        sequence: int,
        records: Sequence[Call | Change],
        steps: Steps | None = None,
        started: int | None = None,
    ) -> None:
        """Apply an event; numbered records that were applied before count as repeated.

        `steps`: the current step before the event, if its session counts them; otherwise they are counted per writer.
        `started`: the time of the session's start in µs, if the event is its start. Records that arrive after later
        ones of their session are late.
        """
        self.exists = True
        following, known = self.sessions.get(session, 0), self._received.setdefault(session, set())
        stored = [not session or sequence + number not in known for number in range(len(records))]
        late = [bool(session) and sequence + number < following for number in range(len(records))]
        if session:
            known.update(range(sequence, sequence + len(records)))
            self.sessions[session] = max(following, sequence + len(records))
            self.repeated += stored.count(False)
            self.missing += max(sequence - following, 0) - sum(map(all, zip(stored, late, strict=True)))
        if session and any(stored):
            writer = self._keep_apart(writer, session, [one.timestamp for one in records if isinstance(one, Call)])
            if started is not None and not late[0] and started >= self._starts.get(writer, (0, ""))[0]:
                self._starts[writer] = started, session
        requested: Steps | None = None
        for number, record in enumerate(records):
            if isinstance(record, Change):
                if stored[number]:
                    self._change(record, late=late[number])
                continue
            if number == 0 or not stored[number - 1]:
                # Late rows that begin with a requested step have the steps that they request.
                requested = (0, False) if steps is None and late[number] and record.step is not None else None
            before = requested or steps or self._steps.get(writer, (0, False))
            if steps is None and requested is None and late[number] and (number == 0 or not stored[number - 1]):
                # It joins no row of later calls.
                before = (before[0] + before[1], False)
            step, after, conflict = follow(before, record)
            steps = None if steps is None else after
            if not stored[number]:
                continue
            if requested is None:
                # A session that is behind others does not turn its writer back.
                self._steps[writer] = max(self._steps.get(writer, (0, False)), after)
            else:
                requested = after
            if conflict and record.step is not None:
                self.conflicts.append((writer, record.step, step))
            self._log(writer, record, step)

    def _keep_apart(self, writer: str, session: str, times: Sequence[int]) -> str:
        """Return the name of a session whose writer another session has, too: with a number, once it shows."""
        number = self._numbers.get(session, 1)
        name = numbered(writer, number)
        began, last = self._starts.get(name, (0, session))
        if not writer or last == session or max(times, default=0) <= began + CLOCKS_DIFFER_US:
            return name
        while (free := numbered(writer, number := number + 1)) in self._steps or free in self._starts:
            continue
        self._numbers[session] = number
        self._steps[free] = self._steps.get(name, (0, False))
        return free

    def _log(self, writer: str, call: Call, step: int) -> None:
        self.log_rows += 1
        for key, value in call.data.items():
            if key:
                kind, shown = stored_form(value)
                stored = self._spellings.setdefault(key.casefold(), key)
                self.values.setdefault((kind, stored, writer), {})[step] = shown
                self.points += 1

    def _change(self, change: Change, *, late: bool) -> None:
        if late:
            # It adds what later changes have not set.
            self.config = dict(change.config) | self.config
            return
        if change.state == "running":
            # The start of a run removes nothing.
            self.config |= change.config
        else:
            kept = {key: value for key, value in self.config.items() if key not in change.removed}
            self.config = kept | dict(change.config)
        self.state = change.state or self.state


def numbered(writer: str, number: int) -> str:
    """Return the name of a process that has a writer's name, by its number."""
    return writer if number == 1 else f"{writer}.{number}"


def follow(before: Steps, call: Call) -> tuple[int, Steps, bool]:
    """Return the step of a call, the current step after it, and whether it asked for an earlier one."""
    current, begun = before
    if call.step is not None and call.step >= current:
        stays = call.commit is not True
        return call.step, (call.step if stays else call.step + 1, stays), False
    conflict = call.step is not None
    # A row of its own: not the one at the current step if a call has written there.
    step = current + 1 if conflict and begun else current
    stays = call.commit is False
    return step, (step if stays else step + 1, stays), conflict


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
