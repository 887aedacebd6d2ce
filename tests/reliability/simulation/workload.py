"""Random logs: sessions with repeats and overlaps, foreign writers, conflicts, merges, invalid events."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from reliability.simulation.model import Call, Change, Path, RunModel, Steps, follow
from stepwell_ingestor.messages import Message
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import (
    Block,
    Event,
    Exact,
    LogBatch,
    LogEvent,
    MediaChunk,
    Other,
    RunDeleted,
    RunFinished,
    RunStarted,
    RunUpdated,
)
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind, exact_text
from stepwell_schemas.rules.steps import NO_STEP, commit_code

_BEGIN: Final = 1_700_000_000_000_000
# µs from one event to the next: so that sessions of one writer, which begin together, are seen to live together.
_TICK: Final = 2_000_000
_BIG: Final = "big"
_KEYS: Final = ("loss", "LOSS", "Loss", "acc", "a.b", "größe", "GRÖSSE", _BIG)
# Their sums are exact in any order.
_NUMBERS: Final = (0.0, 1.0, -3.0, 7.0, 42.0, float("nan"))
_BIG_NUMBER: Final = 2**53 + 1
_TOPIC: Final = "events"
_VALUES: Final = ("number", "string", "bool", "other")
_MESSAGES: Final = {"session": 12, "foreign": 4, "poison": 1, "partly": 1, "redriven": 1, "edited": 1, "deleted": 1}


class Entry(NamedTuple):
    """One message of the log and its meaning.

    `dead`: it must become a dead letter, even if a part of it is stored. `started`: the time of a session's start, in
    µs. `deleted`: the time of a deletion of the run, in µs.
    """

    partition: int
    message: Message
    path: Path
    writer: str
    session: str
    sequence: int
    records: Sequence[Call | Change]
    dead: bool = False
    steps: Steps | None = None
    started: int | None = None
    deleted: int | None = None

    def tell(self, model: RunModel) -> RunModel:
        """Apply the message to its run's model; return the model that holds from then on."""
        if self.deleted is not None:
            return model.delete(self.deleted)
        if not model.drops(self.session, self.records, self.started, redriven=bool(self.message.origin)):
            model.take(self.writer, self.session, self.sequence, self.records, self.steps, self.started)
        return model


@dataclass
class _Session:
    """One journal: constant records, of which more and more are sent, some of them repeatedly.

    `counts`: it counts its steps itself and its batches state them; otherwise they are counted per writer. `begun`: the
    time of its start, in µs after that of the log.
    """

    path: RunPath
    writer: str
    name: str
    counts: bool
    records: list[Call | Change] = field(default_factory=list)
    sent: int = 0
    begun: int = 0

    def steps(self, sequence: int) -> Steps | None:
        """Return the current step before a record, if the session counts."""
        steps: Steps = 0, False
        for record in self.records[:sequence]:
            if isinstance(record, Call):
                _, steps, _ = follow(steps, record)
        return steps if self.counts else None


@dataclass(frozen=True)
class Content:
    """The kinds of values and messages of a log, and its keys.

    A schedule has some of them only: its flushes fill fewer tables, and rare combinations come up more often than in
    logs that all have a little of everything.
    """

    values: Sequence[str] = _VALUES
    keys: Sequence[str] = _KEYS
    messages: Mapping[str, int] = field(default_factory=lambda: dict(_MESSAGES))

    @classmethod
    def drawn(cls, rng: random.Random) -> Content:
        """Draw the content of a schedule's log."""
        others = [kind for kind in _VALUES[1:] if rng.random() < 0.25]
        numbers = [] if others and rng.random() < 0.1 else [*_VALUES[:1]] * 3
        messages = {kind: weight for kind, weight in _MESSAGES.items() if kind == "session" or rng.random() < 0.6}
        return cls([*numbers, *others], rng.sample(_KEYS, rng.randint(2, len(_KEYS))), messages)


class Workload:
    """Draws the log of one schedule, message by message; the broker assigns the offsets."""

    def __init__(self, rng: random.Random, partitions: int, content: Content, ranks: int = 0) -> None:
        """Draw the sessions: those of so many ranks of one run, or else those of a few runs.

        Ranks log the same keys. Some have had a session before, of which a part is sent again.
        """
        self._rng = rng
        self._clock = 0
        self._content = content
        runs = [RunPath("me", "p", f"run-{number}") for number in range(1 if ranks else rng.choice((1, 1, 2, 4)))]
        self._partition = {run: rng.randrange(partitions) for run in runs}
        self._sessions = [
            _Session(run, f"rank{rank}", f"{run.run_id}/{rank}/s{number}", rng.random() < 0.5)
            for run in runs
            for rank in range(ranks)
            for number in range(rng.choice((1, 1, 2)))
        ] or [
            _Session(run, rng.choice(("", "w")), f"{run.run_id}/s{number}", rng.random() < 0.5)
            for run in runs
            for number in range(rng.randint(1, 2))
        ]
        self._poison: list[Entry] = []

    def draw(self) -> Entry:
        """Return the next message."""
        weights = {**self._content.messages}
        if not self._poison:
            weights.pop("redriven", None)
        kind = self._rng.choices(list(weights), list(weights.values()))[0]
        session = self._rng.choice(self._sessions)
        if kind == "session":
            return self._next_record(session)
        if kind == "foreign":
            return self._foreign(session.path)
        if kind == "edited":
            return self._edited(session.path)
        if kind == "deleted":
            return self._deleted(session)
        if kind == "redriven":
            return self._redriven(self._rng.choice(self._poison))
        entry = self._poisoned(session.path) if kind == "poison" else self._partly(session.path)
        self._poison.append(entry)
        return entry

    def _next_record(self, session: _Session) -> Entry:
        """Continue sending, or begin again at an earlier record, as a sender does after a crash or a timeout."""
        draw = self._rng.random()
        start = session.sent
        if draw < 0.25:
            start = self._rng.randint(0, session.sent)
        elif draw < 0.28:
            start += 1
        while len(session.records) <= start:
            session.records.append(self._record())
        first = session.records[start]
        records: list[Call | Change] = [first]
        if isinstance(first, Call):
            records += self._more_calls(session, start + 1)
            event = self._calls_event(session, start, [call for call in records if isinstance(call, Call)])
        else:
            event = _change_event(session, start, first)
        session.sent = max(session.sent, start + len(records))
        entry = self._entry(session.path, event, session.writer, session.name, start, records)
        started = event.timestamp if isinstance(event, RunStarted) else None
        return entry._replace(steps=session.steps(start), started=started)

    def _more_calls(self, session: _Session, start: int) -> list[Call]:
        calls: list[Call] = []
        for place in range(start, start + self._rng.choice((0, 0, 1, 2, 4))):
            if place == len(session.records):
                session.records.append(self._record())
            record = session.records[place]
            if not isinstance(record, Call):
                break
            calls.append(record)
        return calls

    def _record(self) -> Call | Change:
        if self._rng.random() < 0.85:
            return self._call()
        config = {self._rng.choice("abc"): self._rng.randint(0, 9)}
        state = self._rng.choice((None, None, "running", "finished", "failed"))
        removed = (self._rng.choice("abc"),) if state is None else ()
        return Change({} if state in {"finished", "failed"} else config, removed, state)

    def _call(self) -> Call:
        self._clock += _TICK
        step = self._rng.choice((None, None, None, self._rng.randint(-1, 12)))
        commit = self._rng.choice((None, None, True, False))
        data: dict[str, Any] = {}
        for key in self._rng.sample(self._content.keys, min(self._rng.randint(0, 3), len(self._content.keys))):
            if key.casefold() not in {known.casefold() for known in data}:
                data[key] = _BIG_NUMBER if key == _BIG else self._value()
        return Call(data, step, commit, _BEGIN + self._clock)

    def _value(self) -> Any:
        kind = self._rng.choice(self._content.values)
        if kind == "number":
            return self._rng.choice(_NUMBERS)
        if kind == "string":
            return f"text {self._rng.randint(0, 9)}"
        return self._rng.random() < 0.5 if kind == "bool" else [self._rng.randint(0, 9), None]

    def _calls_event(self, session: _Session, sequence: int, calls: Sequence[Call]) -> Event:
        numbered = {**session.path._asdict(), "session": session.name, "sequence": sequence, "writer": session.writer}
        steps = session.steps(sequence)
        if steps is not None:
            return _batch({**numbered, "current_step": steps[0], "row_begun": steps[1]}, calls)
        if len(calls) == 1 and self._rng.random() < 0.5:
            return _log_event(numbered, calls[0])
        return _batch(numbered, calls)

    def _foreign(self, path: RunPath) -> Entry:
        call = self._call()
        event = _log_event({**path._asdict(), "writer": "foreign"}, call)
        return self._entry(path, event, "foreign", "", 0, [call])

    def _partly(self, path: RunPath) -> Entry:
        """Return a call with one key that can't be stored."""
        call = self._call()
        call = Call({"acc": 1.0, **call.data, "": 1.0}, None, call.commit, call.timestamp)
        event = _log_event({**path._asdict(), "writer": "foreign"}, call)
        return self._entry(path, event, "foreign", "", 0, [call], dead=True)

    def _edited(self, path: RunPath) -> Entry:
        """Return a change by someone else than the run, which is without effect on a run that does not exist."""
        self._clock += _TICK
        config = {self._rng.choice("abc"): self._rng.randint(10, 19)}
        event = RunUpdated(**path._asdict(), config=json.dumps(config), edited=True, timestamp=_BEGIN + self._clock)
        return self._entry(path, event, "", "", 0, [Change(config, edit=True)])

    def _deleted(self, session: _Session) -> Entry:
        """Return the deletion of a session's run, after which another session logs to the run's name."""
        self._clock += _TICK
        path, name = session.path, f"{session.name}+"
        while name in {one.name for one in self._sessions}:
            name += "+"
        self._sessions.append(replace(session, name=name, records=[], sent=0, begun=self._clock + 1))
        event = RunDeleted(**path._asdict(), timestamp=_BEGIN + self._clock)
        return self._entry(path, event, "", "", 0, [])._replace(deleted=event.timestamp)

    def _poisoned(self, path: RunPath) -> Entry:
        self._clock += _TICK
        chunk = MediaChunk(**path._asdict(), sha256="0" * 64, index=0, count=1, size=1, data=b"x")
        nameless = LogEvent(entity="a/b", project="p", run_id="r", data={"x": 1.0})
        value = self._rng.choice((b"", b"\xc3\x01 no event", encode(chunk), encode(nameless)))
        message = Message(0, _BEGIN // 1_000, path.kafka_key, value)
        return Entry(self._partition[path], message, path, "", "", 0, [], dead=True)

    def _redriven(self, poison: Entry) -> Entry:
        """Return a dead letter that was made usable and sent again: it counts once by its origin."""
        run = next(run for run in self._partition if run == poison.path)
        origin = f"{_TOPIC}/{poison.partition}/{self._poison.index(poison)}"
        call = Call({"redriven": 1.0}, None, None, _BEGIN + 1)
        event = _log_event({**run._asdict(), "writer": "redriven"}, call)
        entry = self._entry(run, event, "redriven", f"redriven {origin}", 0, [call])
        return entry._replace(message=entry.message._replace(origin=origin))

    def _entry(
        self, path: RunPath, event: Event, writer: str, session: str, sequence: int,
        records: Sequence[Call | Change], *, dead: bool = False,
    ) -> Entry:  # fmt: skip
        message = Message(0, _BEGIN // 1_000, path.kafka_key, encode(event))
        return Entry(self._partition[path], message, path, writer, session, sequence, records, dead)


def _log_event(fields: Mapping[str, Any], call: Call) -> LogEvent:
    data = {
        key: Other(json=json.dumps(value)) if isinstance(value, list) else value for key, value in call.data.items()
    }
    return LogEvent(**fields, step=call.step, commit=call.commit, data=data, timestamp=call.timestamp)


def _change_event(session: _Session, sequence: int, change: Change) -> Event:
    fields: dict[str, Any] = {**session.path._asdict(), "session": session.name, "sequence": sequence}
    fields["timestamp"] = _BEGIN + session.begun + sequence
    config = json.dumps(dict(change.config))
    if change.state == "running":
        return RunStarted(**fields, writer=session.writer, config=config)
    if change.state is not None:
        return RunFinished.model_validate({**fields, "state": change.state, "exit_code": 3})
    return RunUpdated(**fields, config=config, config_remove=list(change.removed))


def _batch(fields: Mapping[str, Any], calls: Sequence[Call]) -> LogBatch:
    steps = commits = None
    if any(call.step is not None for call in calls):
        steps = np.array([NO_STEP if call.step is None else call.step for call in calls], "<i8").tobytes()
    if any(call.commit is not None for call in calls):
        commits = np.array([commit_code(call.commit) for call in calls], np.int8).tobytes()
    timestamps = np.array([call.timestamp for call in calls], "<i8").tobytes()
    return LogBatch.model_validate(
        {**fields, "rows": len(calls), "timestamps": timestamps, "steps": steps, "commits": commits}
        | {"blocks": _blocks([call.data for call in calls])}
    )


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the values of some rows in blocks: one block for the keys of a kind that occur in the same rows."""
    places: dict[tuple[Kind, str], list[int]] = {}
    for place, row in enumerate(rows):
        for key, value in row.items():
            places.setdefault((_kind(value), key), []).append(place)
    blocks: dict[tuple[Kind, tuple[int, ...]], list[str]] = {}
    for (kind, key), at in places.items():
        blocks.setdefault((kind, tuple(at)), []).append(key)
    return [_block(kind, keys, at, rows) for (kind, at), keys in blocks.items()]


def _block(kind: Kind, keys: list[str], at: tuple[int, ...], rows: Sequence[Mapping[str, Any]]) -> Block:
    values = [rows[place][key] for key in keys for place in at]
    where = None if len(at) == len(rows) else np.array(at, "<u4").tobytes()
    if kind is Kind.BOOL:
        return Block(kind=kind, keys=keys, rows=where, packed=bytes(values))
    if kind is not Kind.NUMBER:
        texts = [value if kind is Kind.STRING else json.dumps(value) for value in values]
        return Block(kind=kind, keys=keys, rows=where, texts=texts)
    exact = [
        Exact(index=index, text=exact_text(value))
        for index, value in enumerate(values)
        if isinstance(value, int) and exact_text(value)
    ]
    return Block(kind=kind, keys=keys, rows=where, packed=np.array(values, "<f8").tobytes(), exact=exact)


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int | float):
        return Kind.NUMBER
    return Kind.STRING if isinstance(value, str) else Kind.OTHER
