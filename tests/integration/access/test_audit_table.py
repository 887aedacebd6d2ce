"""The audit log in ClickHouse: rows of the view `audit`, each once, until they expire."""

from __future__ import annotations

from stepwell_schemas.access.audit import Action, AuditEntry, AuditLog, to_table
from stepwell_schemas.access.grants import Grant, Scope
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.clickhouse.store import Store

ANN = Identity("ann", Method.OIDC, (Grant(Scope.ADMIN),))


def test_entries_become_rows_of_the_view(store: Store) -> None:
    audit = AuditLog(store, days=400)
    audit.record(AuditEntry.by(ANN, Action.RUN_DELETE, entity="me", project="digits", run_id="a", status=202))
    audit.record(AuditEntry(Action.SIGN_IN_FAILED, "bob", status=401, address="::1", detail={"why": "it's \\ ünknown"}))
    audit.close()
    rows = store.query("SELECT * EXCEPT (time, id) FROM {db}.audit ORDER BY action").to_pylist()
    nothing = dict.fromkeys(("actor", "method", "key_id", "entity", "project", "run_id", "address"), "")
    deleted = {"actor": "ann", "method": "oidc", "entity": "me", "project": "digits", "run_id": "a"}
    assert rows == [
        nothing | deleted | {"action": "run.delete", "status": 202, "detail": "{}"},
        nothing
        | {"action": "sign_in_failed", "actor": "bob", "status": 401, "address": "::1"}
        | {"detail": '{"why": "it\'s \\\\ \\u00fcnknown"}'},
    ]
    times = store.query(
        "SELECT abs(dateDiff('second', time, now64(3))) AS age,"
        " round(dateDiff('second', time, expires_at) / 86400) AS days FROM {db}.audit_events"
    )
    assert max(times.column("age").to_pylist()) < 60
    assert set(times.column("days").to_pylist()) == {400}


def test_an_entry_that_is_inserted_twice_is_one_row_and_expired_ones_go(chdb_store: Store) -> None:
    entry = AuditEntry.by(ANN, Action.RUN_STOP)
    for days in (0, 0):
        chdb_store.insert("audit_events", to_table([entry], days))
    chdb_store.insert("audit_events", to_table([AuditEntry.by(ANN, Action.RUN_EDIT, time=86_400_000)], 2))
    chdb_store.command("OPTIMIZE TABLE {db}.audit_events FINAL")
    assert chdb_store.query("SELECT action FROM {db}.audit").column("action").to_pylist() == ["run.stop"]
