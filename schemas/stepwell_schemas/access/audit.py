"""The audit log: who did what, as rows of the table `audit_events` and as log lines `audit`.

To record, a service keeps one `AuditLog` over its store, and calls `record` after the answer is known:

    audit = AuditLog(store, days=settings.audit_days)
    audit.record(AuditEntry.by(identity, Action.KEY_CREATE, status=201, address=client, detail={"key_id": key_id}))
    audit.record(AuditEntry(Action.SIGN_IN_FAILED, status=401, address=client))
    audit.close()  # before the store closes: writes what is queued

`record` neither blocks nor fails: entries wait in a bounded queue, and one thread inserts them in batches. While
ClickHouse does not answer they stay there. Entries that find the queue full are lost in the table, but not in the log;
they are counted, and an alarm rings. Never put a key, a password or a cookie into an entry.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Final, Self

import pyarrow as pa
import structlog
from prometheus_client import Counter, Gauge

from stepwell_schemas.access.audit_rates import WINDOW_SECONDS, RateBound
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError
from stepwell_schemas.limits import AUDIT_DETAIL_MAX_CHARS, AUDIT_FIELD_MAX_CHARS, AUDIT_QUEUE_MAX

_TABLE: Final = "audit_events"
_BATCH_ROWS: Final = 1_000
_BATCH_SECONDS: Final = 0.5
# The pause between attempts grows to this multiple of the time for a batch.
_PAUSE_FACTOR: Final = 32
_CLOSE_SECONDS: Final = 5.0
_CLOSE_ATTEMPTS: Final = 5
_TEXTS: Final = ("id", "action", "actor", "method", "key_id", "entity", "project", "run_id", "address")
_OTHERS: Final = ("", "", "", "")
_DAY_SECONDS: Final = 86_400
_NEVER: Final = 2**32 - 1

_log = structlog.get_logger("stepwell.audit")


class Action(StrEnum):
    """The recorded actions: a subject, and what happened to it."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    ACCESS_DENIED = "access_denied"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    RUN_EDIT = "run.edit"
    RUN_STOP = "run.stop"
    RUN_DELETE = "run.delete"
    PROJECT_DELETE = "project.delete"
    RETENTION_SET = "retention.set"
    RETENTION_RUN = "retention.run"
    SQL = "sql"


BOUNDED: Final[Mapping[Action, int]] = {Action.SQL: 300, Action.SIGN_IN_FAILED: 30, Action.ACCESS_DENIED: 60}
"""Entries a minute of one user at one address. Programs may cause these without end; further ones are counted, and one
entry with `left_out` in its detail stands for them."""

ENTRIES: Final = Counter("stepwell_audit_entries_total", "Audit entries recorded, by action.", ("action",))
LEFT_OUT: Final = Counter(
    "stepwell_audit_left_out_total", "Actions above the rate of one user, counted in one entry.", ("action",)
)
LOST: Final = Counter("stepwell_audit_lost_total", "Audit entries that are in the log but not in ClickHouse.")
QUEUED: Final = Gauge("stepwell_audit_queued", "Audit entries that wait for ClickHouse.")
ALARM: Final = Gauge("stepwell_audit_alarm", "1 after audit entries were lost.")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action.

    Attributes:
        action: what was done.
        actor: the user; empty if unknown.
        method: how the user was known: `key`, `oidc`, `open`; empty if not at all.
        key_id: the key that was used.
        entity, project, run_id: the data concerned, as far as it is named; empty otherwise.
        status: the HTTP status of the answer.
        address: the client's address.
        detail: further facts, which become JSON; long texts are cut.
        time: milliseconds since the epoch.
        id: makes the entry one row, however often it is inserted.
    """

    action: Action
    actor: str = ""
    method: str = ""
    key_id: str = ""
    entity: str = ""
    project: str = ""
    run_id: str = ""
    status: int = 200
    address: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    time: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def by(cls, identity: Identity, action: Action, **fields: Any) -> Self:
        """Return the entry of an action of an identity; `fields` are the further attributes."""
        return cls(action, identity.name, identity.method, identity.key_id, **fields)


class AuditLog:
    """Records entries, in the order in which they are given; thread-safe.

    Args:
        store: the database; it is open until `close` has returned.
        days: days for which entries are kept; 0 keeps them for ever.
        capacity: entries that may wait.
        batch_seconds: the time in which a batch is collected.
    """

    def __init__(
        self,
        store: Store,
        days: float = 0,
        capacity: int = AUDIT_QUEUE_MAX,
        batch_seconds: float = _BATCH_SECONDS,
    ) -> None:
        self._store = store
        self._days = days
        self._capacity = capacity
        self._batch_seconds = batch_seconds
        self._entries: deque[AuditEntry] = deque()
        self._bounds = {action: RateBound(entries, _OTHERS) for action, entries in BOUNDED.items()}
        # Guards all of the above.
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def record(self, entry: AuditEntry) -> None:
        """Log an entry, and queue it for the table. Never blocks, never raises."""
        with self._changed:
            bound = self._bounds.get(entry.action)
            source = (entry.actor, entry.method, entry.key_id, entry.address)
            if bound is not None and not bound.admit(source, time.monotonic()):
                LEFT_OUT.labels(entry.action).inc()
                return
            self._enqueue(entry)

    def close(self) -> None:
        """Write what is queued, for some seconds at most, and end the thread. Idempotent."""
        with self._changed:
            self._summarize(float("inf"))
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            # Longer than the thread takes for its attempts, unless ClickHouse holds the last one.
            self._thread.join(2 * _CLOSE_SECONDS)
        with self._changed:
            self._lose(len(self._entries))
            self._entries.clear()
            QUEUED.set(0)

    def _enqueue(self, entry: AuditEntry) -> None:
        ENTRIES.labels(entry.action).inc()
        _log.info("audit", **_line(entry))
        # What programs may cause without end leaves room for the rest.
        room = self._capacity // 2 if entry.action in BOUNDED else self._capacity
        if self._closing or len(self._entries) >= room:
            self._lose(1)
            return
        self._entries.append(entry)
        QUEUED.set(len(self._entries))
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _summarize(self, now: float) -> None:
        """Queue an entry for what was left out of windows that have ended."""
        for action, bound in self._bounds.items():
            for (actor, method, key_id, address), number in bound.ended(now):
                detail = {"left_out": number}
                self._enqueue(AuditEntry(action, actor, method, key_id, address=address, status=0, detail=detail))

    @staticmethod
    def _lose(number: int) -> None:
        if number:
            LOST.inc(number)
            ALARM.set(1)
            _log.error("audit_entries_lost", count=number)

    def _write_all(self) -> None:
        failures = 0
        while batch := self._next_batch(failures):
            failures = 0 if self._write(batch) else failures + 1
            if failures > _CLOSE_ATTEMPTS and self._closing:
                return

    def _next_batch(self, failures: int) -> list[AuditEntry]:
        """Return the entries to write next, after a pause; an empty list at the end."""
        pause = self._batch_seconds * min(2**failures, _PAUSE_FACTOR)
        with self._changed:
            while not self._closing and not self._changed.wait_for(
                lambda: self._closing or self._entries, WINDOW_SECONDS
            ):
                self._summarize(time.monotonic())
            if self._closing:
                pause = min(pause, _CLOSE_SECONDS / _CLOSE_ATTEMPTS) if failures else 0.0
                self._changed.wait(pause)
            else:
                self._changed.wait_for(lambda: self._closing, pause)
                self._summarize(time.monotonic())
            return list(islice(self._entries, _BATCH_ROWS))

    def _write(self, batch: Sequence[AuditEntry]) -> bool:
        try:
            self._store.insert(_TABLE, to_table(batch, self._days))
        except StoreError as error:
            _log.warning("audit_not_written", entries=len(batch), error=str(error))
            return False
        with self._changed:
            # `close` may have given up meanwhile.
            for _ in range(min(len(batch), len(self._entries))):
                self._entries.popleft()
            QUEUED.set(len(self._entries))
        return True


def to_table(entries: Sequence[AuditEntry], days: float) -> pa.Table:
    """Return entries as rows of the table `audit_events`; values that are too long are cut."""
    columns: dict[str, Any] = {name: [_cut(str(getattr(entry, name))) for entry in entries] for name in _TEXTS}
    keep = round(days * _DAY_SECONDS)
    times = [entry.time for entry in entries]
    columns |= {
        "time": pa.array(times, pa.timestamp("ms", "UTC")),
        "status": pa.array([entry.status for entry in entries], pa.uint16()),
        "detail": [to_json(entry.detail) for entry in entries],
        "expires_at": pa.array([min(at // 1_000 + keep, _NEVER) if keep else _NEVER for at in times], pa.uint32()),
    }
    return pa.table(columns)


def to_json(detail: Mapping[str, Any]) -> str:
    """Return a detail as JSON of a bounded length: long texts in it are cut first, then all of it is left out."""
    text = json.dumps(_shortened(detail), ensure_ascii=True, default=str)
    return text if len(text) <= AUDIT_DETAIL_MAX_CHARS else json.dumps({"cut": len(text)})


def _shortened(value: Any) -> Any:
    match value:
        case str():
            return _cut(value)
        case Mapping():
            return {_cut(str(name)): _shortened(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_shortened(item) for item in value]
    return value


def _cut(text: str) -> str:
    # ClickHouse's text is UTF-8, which has no lone surrogates.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= AUDIT_FIELD_MAX_CHARS else f"{text[: AUDIT_FIELD_MAX_CHARS - 1]}…"


def _line(entry: AuditEntry) -> dict[str, Any]:
    """Return the fields of an entry's log line, without empty ones."""
    fields: dict[str, Any] = {name: str(getattr(entry, name)) for name in _TEXTS if name != "id"}
    fields = {name: value for name, value in fields.items() if value} | {"status": entry.status}
    return fields | ({"detail": to_json(entry.detail)} if entry.detail else {})
