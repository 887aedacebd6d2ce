"""Audit entries: rate bounds, rows, and the queue while ClickHouse is away."""

from __future__ import annotations

import json
import threading
from typing import Any, cast

import pyarrow as pa
import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from stepwell_schemas.access.audit import BOUNDED, Action, AuditEntry, AuditLog, to_json, to_table
from stepwell_schemas.access.audit_rates import WINDOW_SECONDS, RateBound
from stepwell_schemas.access.grants import Grant, Scope
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError
from stepwell_schemas.limits import AUDIT_DETAIL_MAX_CHARS, AUDIT_FIELD_MAX_CHARS

ANN = Identity("ann", Method.KEY, (Grant(Scope.READ),), "k1")


class Tables:
    """Stands for a store: keeps the inserted rows, and refuses inserts while it is away."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.attempts = 0
        self.away = threading.Event()
        self.changed = threading.Condition()

    def insert(self, table: str, rows: pa.Table) -> None:
        assert table == "audit_events"
        with self.changed:
            self.attempts += 1
            self.changed.notify_all()
            if self.away.is_set():
                raise StoreUnavailableError("away", 210)
            self.rows += rows.to_pylist()

    def wait_for_attempts(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.attempts >= number, 30)


@pytest.fixture
def tables() -> Tables:
    return Tables()


def open_log(tables: Tables, capacity: int = 100) -> AuditLog:
    return AuditLog(cast("Store", tables), 0, capacity, batch_seconds=0.001)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"stepwell_audit_{name}", labels) or 0.0


def test_entries_are_written_in_their_order(tables: Tables) -> None:
    audit = open_log(tables)
    for number in range(50):
        audit.record(AuditEntry.by(ANN, Action.RUN_EDIT, run_id=str(number)))
    audit.close()
    assert [row["run_id"] for row in tables.rows] == [str(number) for number in range(50)]
    row = tables.rows[0]
    assert (row["actor"], row["method"], row["key_id"], row["action"]) == ("ann", "key", "k1", "run.edit")
    assert len({row["id"] for row in tables.rows}) == 50


def test_entries_are_log_lines_without_empty_fields(tables: Tables) -> None:
    audit = open_log(tables)
    with structlog.testing.capture_logs() as lines:
        audit.record(AuditEntry.by(ANN, Action.KEY_CREATE, status=201, detail={"key_id": "k2"}))
        audit.close()
    assert lines == [
        {
            "event": "audit",
            "log_level": "info",
            "action": "key.create",
            "actor": "ann",
            "method": "key",
            "key_id": "k1",
            "status": 201,
            "detail": '{"key_id": "k2"}',
        }
    ]


def test_entries_wait_while_clickhouse_is_away_and_are_written_once(tables: Tables) -> None:
    audit = open_log(tables)
    tables.away.set()
    audit.record(AuditEntry.by(ANN, Action.RUN_STOP, run_id="a"))
    tables.wait_for_attempts(3)
    audit.record(AuditEntry.by(ANN, Action.RUN_STOP, run_id="b"))
    assert sample("queued") == 2
    tables.away.clear()
    audit.close()
    assert [row["run_id"] for row in tables.rows] == ["a", "b"]
    assert sample("queued") == 0


def test_entries_beyond_the_queue_are_counted_and_ring(tables: Tables) -> None:
    tables.away.set()
    audit = open_log(tables, capacity=4)
    lost = sample("lost_total")
    for number in range(4):
        # These may fill one half only.
        audit.record(AuditEntry.by(ANN, Action.SQL, detail={"statement": str(number)}))
    assert sample("lost_total") == lost + 2
    for number in range(3):
        audit.record(AuditEntry.by(ANN, Action.KEY_REVOKE, run_id=str(number)))
    assert sample("lost_total") == lost + 3
    assert sample("alarm") == 1
    tables.away.clear()
    audit.close()
    assert [row["action"] for row in tables.rows] == ["sql", "sql", "key.revoke", "key.revoke"]


def test_entries_that_can_not_be_written_at_the_end_are_counted(tables: Tables) -> None:
    tables.away.set()
    audit = open_log(tables)
    audit.record(AuditEntry.by(ANN, Action.RUN_STOP))
    lost = sample("lost_total")
    audit.close()
    audit.record(AuditEntry.by(ANN, Action.RUN_STOP))
    audit.close()
    assert sample("lost_total") == lost + 2
    assert not tables.rows


def test_one_entry_stands_for_those_above_the_rate(tables: Tables) -> None:
    audit = open_log(tables, capacity=10_000)
    most = BOUNDED[Action.SIGN_IN_FAILED]
    for _ in range(most + 7):
        audit.record(AuditEntry(Action.SIGN_IN_FAILED, address="10.0.0.1", status=401))
    audit.record(AuditEntry(Action.SIGN_IN_FAILED, address="10.0.0.2", status=401))
    audit.close()
    kept = [row for row in tables.rows if row["status"] == 401]
    assert [row["address"] for row in kept] == ["10.0.0.1"] * most + ["10.0.0.2"]
    summary = [row for row in tables.rows if row["status"] == 0]
    assert [(row["address"], json.loads(row["detail"])) for row in summary] == [("10.0.0.1", {"left_out": 7})]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=300))
def test_every_entry_is_kept_or_counted(steps: list[tuple[str, float]]) -> None:
    bound = RateBound(3, "others")
    now = 0.0
    kept = left_out = 0
    for source, seconds in steps:
        now += seconds
        left_out += sum(number for _, number in bound.ended(now))
        kept += bound.admit(source, now)
    left_out += sum(number for _, number in bound.ended(float("inf")))
    assert kept + left_out == len(steps)
    # A window admits three entries; the first one begins at the first entry.
    assert kept <= 3 * 3 * (now / WINDOW_SECONDS + 1)


def test_a_window_that_has_ended_admits_entries_before_it_is_reported() -> None:
    bound = RateBound(1, "others")
    assert [bound.admit("a", now) for now in (0.0, 1.0, WINDOW_SECONDS, WINDOW_SECONDS + 1)] == [
        True,
        False,
        True,
        False,
    ]
    assert list(bound.ended(WINDOW_SECONDS + 2)) == []
    assert list(bound.ended(2 * WINDOW_SECONDS)) == [("a", 2)]


def test_sources_without_end_take_bounded_memory() -> None:
    bound = RateBound(1, -1)
    # The last 10,000 sources share one window.
    assert sum(bound.admit(source, 0.0) for source in range(20_000)) == 10_001
    assert dict(bound.ended(float("inf"))) == {-1: 9_999}


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.lists(st.text(max_size=9))))
def test_any_text_becomes_a_row(text: str, detail: dict[str, Any]) -> None:
    entry = AuditEntry(Action.SQL, actor=text, address=text, detail=detail)
    row = to_table([entry], 1).to_pylist()[0]
    assert len(row["actor"]) <= AUDIT_FIELD_MAX_CHARS
    assert isinstance(json.loads(row["detail"]), dict)


def test_long_details_are_cut() -> None:
    assert json.loads(to_json({"statement": "x" * 5_000}))["statement"] == "x" * (AUDIT_FIELD_MAX_CHARS - 1) + "…"
    many = {str(number): "x" * 900 for number in range(100)}
    assert json.loads(to_json(many))["cut"] > AUDIT_DETAIL_MAX_CHARS
    assert to_json({"name": "\ud800"}) == '{"name": "\\\\ud800"}'


def test_entries_expire_after_the_days_of_the_setting() -> None:
    entry = AuditEntry(Action.SIGN_IN, time=86_400_000)
    assert to_table([entry], 2).column("expires_at").to_pylist() == [3 * 86_400]
    assert to_table([entry], 0).column("expires_at").to_pylist() == [2**32 - 1]
    assert to_table([entry], 36_500_000).column("expires_at").to_pylist() == [2**32 - 1]
