"""The life of keys: created by administrators within their own scopes, shown once, used, expired and revoked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.key_cache import KEY_CACHE_SECONDS
from stepwell_schemas.access.key_store import KeyStore, epoch_ms
from stepwell_schemas.clickhouse.store import Store

from .conftest import ADMIN_KEY, Secured

KEYS: Final = "/api/v1/keys"
WHOAMI: Final = "/api/v1/whoami"


def create(secured: Secured, by: str, *scopes: str, status: int = 201, **more: str) -> dict[str, Any]:
    """Create a key with the key `by`, and return the answer."""
    answer = secured.call("POST", KEYS, by, json={"scopes": list(scopes), **more})
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def status_of(secured: Secured, text: str, path: str = WHOAMI) -> int:
    """Return the status of a request with the text of a key."""
    return secured.call("GET", path, headers={"authorization": f"Bearer {text}"}).status_code


def test_a_key_is_shown_once_and_stored_as_its_hash(secured: Secured) -> None:
    """The answer has the text; no list, no table and no later answer has it."""
    answer = secured.call("POST", KEYS, "admin key", json={"scopes": ["read:alpha"], "name": "one", "owner": "ann"})
    created = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert status_of(secured, created["key"]) == 200
    assert created["scopes"] == ["read:alpha"]
    assert (created["name"], created["owner"], created["state"]) == ("one", "ann", "valid")
    listed = secured.call("GET", KEYS, "admin key")
    assert created["key_id"] in listed.text
    stored = str(secured.store.query("SELECT * FROM {db}.access_keys").to_pylist())
    assert created["key_id"] in stored
    for text in (listed.text, stored):
        assert created["key"] not in text
        assert created["key"].removeprefix("stepwell-") not in text
    assert "hash" not in listed.json()["keys"][0]


def test_whoami(secured: Secured) -> None:
    """Name, method and scopes of the request; of the settings' key, too."""
    created = create(secured, "admin:alpha", "write:alpha/one", "read:alpha", owner="bob")
    answer = secured.call("GET", WHOAMI, headers={"authorization": f"Bearer {created['key']}"}).json()
    assert answer == {
        "name": "bob",
        "method": "key",
        "key_id": created["key_id"],
        "scopes": ["write:alpha/one", "read:alpha"],
        "open": False,
    }
    admin = secured.call("GET", WHOAMI, "admin key").json()
    assert (admin["key_id"], admin["scopes"]) == ("admin", ["admin:*"])


def test_basic_and_bearer_are_the_same_key(secured: Secured) -> None:
    """wandb's clients send the key as a password, of whatever user."""
    text = secured.texts["read:alpha"]
    for user in ("api", "", "anyone"):
        answer = secured.call("GET", WHOAMI, auth=(user, text))
        assert answer.json()["scopes"] == ["read:alpha"]
    assert secured.call("GET", WHOAMI, auth=(text, "")).status_code == 401


@pytest.mark.parametrize(
    ("by", "scopes", "status"),
    [
        ("read:*", ["read"], 403),
        ("write:*", ["read"], 403),
        ("read:alpha", ["read:alpha"], 403),
        ("admin:alpha/one", ["read:alpha/one"], 201),
        ("admin:alpha/one", ["admin:alpha/one"], 201),
        ("admin:alpha/one", ["read:alpha"], 403),
        ("admin:alpha/one", ["read:alpha/two"], 403),
        ("admin:alpha/one", ["read:alpha/one", "read:beta/one"], 403),
        ("admin:alpha/one", ["admin"], 403),
        ("admin:alpha", ["admin:alpha"], 201),
        ("admin:alpha", ["read:*"], 403),
        ("admin:alpha", ["read:*/*"], 403),
        ("admin:alpha", ["write:beta"], 403),
        ("admin:*", ["admin:*", "read:beta/one"], 201),
        ("admin key", ["admin"], 201),
    ],
)
def test_nobody_creates_a_key_with_more_than_they_administer(
    secured: Secured, by: str, scopes: list[str], status: int
) -> None:
    """Each scope must be over a resource that the creator administers."""
    created = create(secured, by, *scopes, status=status)
    assert ("key" in created) == (status == 201)


def test_an_administrator_manages_keys_of_its_resource_alone(secured: Secured) -> None:
    """Keys outside of it are not listed, and can't be revoked; nor can those that reach beyond it."""
    own = create(secured, "admin key", "read:alpha/one")["key_id"]
    wider = create(secured, "admin key", "read:alpha/one", "read:beta")["key_id"]
    other = create(secured, "admin key", "read:beta/one")["key_id"]
    listed = {key["key_id"] for key in secured.call("GET", KEYS, "admin:alpha").json()["keys"]}
    assert own in listed
    assert not {wider, other} & listed
    for key_id, status in ((wider, 404), (other, 404), ("none", 404), (own, 200)):
        assert secured.call("DELETE", f"{KEYS}/{key_id}", "admin:alpha").status_code == status
    for key in ("read:*", "write:*", "write:alpha"):
        assert secured.call("GET", KEYS, key).status_code == 403
        assert secured.call("DELETE", f"{KEYS}/{other}", key).status_code == 403


def test_a_revoked_key_is_refused_immediately(secured: Secured) -> None:
    """The service that revokes it forgets it; repeating the revocation changes nothing."""
    created = create(secured, "admin key", "read")
    assert status_of(secured, created["key"]) == 200
    first = secured.call("DELETE", f"{KEYS}/{created['key_id']}", "admin key").json()
    assert first["state"] == "revoked"
    assert status_of(secured, created["key"]) == 401
    assert secured.call("DELETE", f"{KEYS}/{created['key_id']}", "admin key").json() == first


def test_another_service_sees_new_and_revoked_keys_within_seconds(secured: Secured) -> None:
    """A second process accepts a new key immediately, and refuses a revoked one within the seconds of its cache."""
    other = Secured(create_app(QuerySettings(admin_key=ADMIN_KEY), secured.store), secured.store, secured.keys)
    created = create(secured, "admin key", "read")
    assert status_of(other, created["key"]) == 200
    secured.call("DELETE", f"{KEYS}/{created['key_id']}", "admin key")
    revoked_at = time.monotonic()
    while status_of(other, created["key"]) != 401:
        assert time.monotonic() < revoked_at + 10 * KEY_CACHE_SECONDS
        time.sleep(0.2)
    other.app.state.context.close()


def test_an_expiring_key(secured: Secured) -> None:
    """A duration or a time; a key is refused once it has passed, and never accepts one in the past."""
    created = create(secured, "admin key", "read", expires="1s")
    assert status_of(secured, created["key"]) == 200
    time.sleep(1.1)
    assert status_of(secured, created["key"]) == 401
    assert "T" in create(secured, "admin key", "read", expires="30d")["expires"]
    assert create(secured, "admin key", "read", expires="2100-01-01")["expires"] == "2100-01-01T00:00:00.000Z"
    for text in ("yesterday", "2001-01-01", "0d", "-1d", "99999999999d", "1e9d"):
        problem = create(secured, "admin key", "read", expires=text, status=422)
        assert problem["errors"][0]["field"] == "expires"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scopes": []},
        {"scopes": ["all"]},
        {"scopes": ["read:a/b/c"]},
        {"scopes": ["read:*/one"]},
        {"scopes": ["read"] * 65},
        {"scopes": ["read"], "name": "x" * 129},
        {"scopes": ["read"], "owner": "a\nb"},
        {"scopes": ["read"], "key_id": "chosen", "hash": "00"},
        {"scopes": ["read"], "revoked": 0},
        ["read"],
    ],
)
def test_invalid_bodies_are_refused(secured: Secured, body: Any) -> None:
    """No field but the documented ones can be given, and each error names its field."""
    answer = secured.call("POST", KEYS, "admin key", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["remedy"]


def test_the_last_use_is_stored_with_few_writes(secured: Secured) -> None:
    """One write for many requests, in the background; it can't undo a revocation."""
    created = create(secured, "admin key", "read")
    before = epoch_ms()
    for _ in range(20):
        assert status_of(secured, created["key"]) == 200
    secured.app.state.context.authenticator.keys.close()
    (row,) = [key for key in secured.keys.list() if key.key_id == created["key_id"]]
    assert before - 60_000 < row.last_used <= epoch_ms()
    count = "SELECT count() AS n FROM {db}.access_key_uses WHERE key_id = {key_id:String}"
    assert secured.store.query(count, {"key_id": created["key_id"]}).column("n")[0].as_py() == 1
    listed = secured.call("GET", KEYS, "admin key").json()["keys"]
    assert next(key for key in listed if key["key_id"] == created["key_id"])["last_used"]


@pytest.fixture
def open_service(chdb_store: Store) -> Iterator[Secured]:
    """A service without keys."""
    running = Secured(create_app(QuerySettings(), chdb_store), chdb_store, KeyStore(chdb_store))
    yield running
    running.app.state.context.close()


def test_the_first_key_turns_access_control_on(open_service: Secured) -> None:
    """It must administer everything; then requests without a key are refused, also once it is revoked."""
    assert open_service.call("GET", WHOAMI).json()["open"]
    assert open_service.call("GET", "/api/v1/connect").json()["open"]
    answer = open_service.call("POST", KEYS, json={"scopes": ["read"]})
    assert (answer.status_code, "admin" in answer.json()["errors"][0]["remedy"]) == (422, True)
    assert open_service.call("GET", WHOAMI).json()["open"]
    created = open_service.call("POST", KEYS, json={"scopes": ["admin"], "name": "first"}).json()
    assert open_service.call("GET", WHOAMI).status_code == 401
    assert status_of(open_service, created["key"]) == 200
    headers = {"authorization": f"Bearer {created['key']}"}
    assert open_service.call("DELETE", f"{KEYS}/{created['key_id']}", headers=headers).status_code == 200
    assert open_service.call("GET", WHOAMI).status_code == 401
    restarted = create_app(QuerySettings(), open_service.store)
    again = Secured(restarted, open_service.store, open_service.keys)
    assert again.call("GET", WHOAMI).status_code == 401, "without valid keys the service is not open again"
    restarted.state.context.close()


def test_an_open_service_ignores_credentials(open_service: Secured) -> None:
    """A key of another service, kept by an SDK, does not make requests fail."""
    for header in ("Bearer x", "Basic !", "nonsense"):
        assert open_service.call("GET", WHOAMI, headers={"authorization": header}).status_code == 200


def test_keys_are_part_of_the_audit_log(secured: Secured) -> None:
    """Creation and revocation are recorded, without the text."""
    created = create(secured, "admin:alpha", "read:alpha", owner="carl")
    secured.call("DELETE", f"{KEYS}/{created['key_id']}", "admin:alpha")
    secured.app.state.context.audit.close()
    rows = secured.store.query("SELECT * FROM {db}.audit_events ORDER BY time").to_pylist()
    mine = [row for row in rows if created["key_id"] in str(row)]
    assert [row["action"] for row in mine] == ["key.create", "key.revoke"]
    assert created["key"] not in str(rows)
