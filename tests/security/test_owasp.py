"""The OWASP API top ten, by row; rows that other files of this folder hold are named in docs/security.md."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stepwell_deploy.local.stack import run_local
from stepwell_deploy.settings import DeploySettings
from stepwell_query.api.app import create_app
from stepwell_query.service import serve
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.exposure import check_exposure, is_loopback
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.access.keys import new_key
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import ExposedServiceError

from .conftest import ADMIN_KEY, Secured

_PLACES = ("entity", "project")
_FIELDS = ("sql", "runs", "keys", "filter", "x", "group_by", "name", "owner", "scopes", "url", "callback", "webhook")


@pytest.fixture
def limited(chdb_store: Store) -> Iterator[Secured]:
    """A service with limits for each key."""
    settings = QuerySettings(admin_key=ADMIN_KEY, key_requests_per_second=0.5, key_bytes_per_second=1_000)
    running = Secured(create_app(settings, chdb_store), chdb_store, KeyStore(chdb_store))
    for name in ("one", "two"):
        running.texts[name] = running.keys.create(name, name, [Grant.parse("read")])[0].text
    yield running
    running.app.state.context.close()


def test_1_object_ids_of_other_projects_are_unknown(secured: Secured) -> None:
    """Broken object level authorization: ids in paths, bodies and cursors do not reach beyond the key's projects."""
    listed = secured.call("GET", "/api/v1/projects/beta/one/runs?limit=1", "read:*").json()
    cursor = listed.get("next") or "x"
    for path in (
        f"/api/v1/projects/beta/one/runs?cursor={cursor}",
        "/api/v1/projects/beta/one/runs?filter=state%20%3D%20%22running%22",
        "/api/v1/projects/beta%2Fone/runs",
        "/api/v1/projects/alpha%2F..%2Fbeta/one/runs",
        "/api/v1/projects/BETA/one/runs",
        "/api/v1/projects/*/one/runs",
        "/api/v1/projects/beta/*/runs",
        "/api/v1/runs/alpha/one/..%2F..%2Fbeta%2Fone%2Frun",
    ):
        assert secured.call("GET", path, "read:alpha").status_code in {404, 422}, path
    body = {"runs": ["beta/one/run", "BETA/one/run", "*/one/run", "alpha/one/run"], "keys": ["loss"]}
    answer = secured.call("POST", "/api/v1/series", "read:alpha/one", json=body).json()
    assert [run["run"] for run in answer["runs"]] == ["alpha/one/run"]
    groups = {"groups": {"g": body["runs"]}, "keys": ["loss"]}
    unknown = secured.call("POST", "/api/v1/groups", "read:alpha/one", json=groups).json()["unknown_runs"]
    assert unknown == ["beta/one/run", "BETA/one/run", "*/one/run"]


def test_4_a_body_without_a_key_is_not_read(secured: Secured) -> None:
    """Unrestricted resource consumption: who has no key can't occupy the memory for bodies."""
    read = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            read.append(1)
            yield b"x" * 65_536

    async def call() -> int:
        async with secured.client() as client:
            return (await client.post("/api/v1/sql", content=body())).status_code

    assert (asyncio.run(call()), read) == (401, [])


def test_4_guesses_cause_few_statements(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of wrong keys is answered from memory."""
    statements = []
    valid = KeyStore.valid

    def counted(store: KeyStore, now: int) -> Any:
        statements.append(now)
        return valid(store, now)

    monkeypatch.setattr(KeyStore, "valid", counted)

    async def flood() -> set[int]:
        async with secured.client() as client:
            headers = [{"authorization": f"Bearer {new_key().text}"} for _ in range(300)]
            answers = await asyncio.gather(*(client.get("/api/v1/projects", headers=one) for one in headers))
            return {answer.status_code for answer in answers}

    assert asyncio.run(flood()) == {401}
    assert len(statements) < 100


def test_4_a_key_above_its_rate_waits(limited: Secured) -> None:
    """Requests above the limit get 429 with the time to wait; another key, and the page's files, are not concerned."""
    answers = [limited.call("GET", "/api/v1/whoami", "one") for _ in range(8)]
    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    refused = answers[-1]
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:stepwell:problem:rate-limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert limited.call("GET", "/api/v1/whoami", "two").status_code == 200
    assert limited.call("GET", "/docs", "one").status_code == 200


def test_4_bytes_of_answers_and_bodies_count(limited: Secured) -> None:
    """A large answer uses up the bytes of some seconds."""
    assert limited.call("POST", "/api/v1/series", "one", json={"runs": [], "keys": ["k" * 20_000]}).status_code < 500
    assert limited.call("GET", "/api/v1/whoami", "one").status_code == 429
    assert limited.call("GET", "/api/v1/whoami", "two").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "OPTIONS", "HEAD", "POST"])
def test_5_methods_are_not_a_way_around(secured: Secured, method: str) -> None:
    """Broken function level authorization: another method, or an override of it, does not reach a function."""
    for path in ("/api/v1/keys", "/api/v1/projects", "/api/v1/sql"):
        override = {"x-http-method-override": "GET", "x-method-override": "GET"}
        status = secured.call(method, path, headers=override).status_code
        assert status in {401, 404, 405}, (method, path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that no request of the service may reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def test_7_no_parameter_is_an_address_that_the_service_opens(secured: Secured, listener: socket.socket) -> None:
    """Server side request forgery: each documented parameter, header and field of a body gets the listener's URL."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    headers = {"referer": url, "x-forwarded-host": url, "forwarded": f"host={url}", "x-original-url": url}
    document = secured.call("GET", "/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.endswith("/events") or (method, path) == ("delete", "/api/v1/keys/{key_id}"):
                continue  # A stream without end; keys of the other tests.
            named = [parameter["name"] for parameter in operation.get("parameters", ())]
            filled = path.format_map(dict.fromkeys(named, quote(url, safe="")) | dict.fromkeys(_PLACES, "alpha"))
            query = {name: url for name in named if f"{{{name}}}" not in path}
            body = {"json": dict.fromkeys(_FIELDS, url)} if method == "post" else {}
            answer = secured.call(method.upper(), filled, "admin key", params=query, headers=headers, **body)
            assert answer.status_code < 500, (method, path, answer.text)
            assert not answer.headers.get("location", "").startswith(("http", "//"))
    statements = [
        f"SELECT * FROM {function}" for function in (f"url('{url}')", f"remote('{url}', system.one)", f"s3('{url}')")
    ]
    for statement in statements:
        answer = secured.call("POST", "/api/v1/sql", "admin key", json={"sql": statement})
        assert answer.status_code in {403, 422}, (statement, answer.text)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "stepwell.example", "127.0.0.1.example"])
def test_8_a_service_without_keys_is_not_reachable_from_other_machines(stack: Any, database: str, host: str) -> None:
    """Security misconfiguration: `query` refuses to start, and says what to do."""
    settings = QuerySettings(query_host=host, clickhouse_dsn=stack.dsn("chdb"), clickhouse_database=database)
    with pytest.raises(ExposedServiceError, match="STEPWELL_ADMIN_KEY"):
        serve(settings)


def test_8_up_without_keys_is_not_reachable_from_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` refuses before it starts a broker; with a key it does not."""
    monkeypatch.setattr("os.umask", lambda _: 0)
    monkeypatch.delenv("STEPWELL_ADMIN_KEY", raising=False)
    settings = DeploySettings(host="0.0.0.0", port=0, server_dir=tmp_path)
    with pytest.raises(ExposedServiceError, match="keys bootstrap"):
        run_local(settings, lambda _: None)
    check_exposure("0.0.0.0", QuerySettings(admin_key=ADMIN_KEY))
    provider = {"oidc_issuer": "https://id.example", "oidc_client_id": "page", "oidc_groups": {"*": ("read",)}}
    check_exposure("0.0.0.0", QuerySettings.model_validate(provider))


def test_8_a_stored_key_is_enough(chdb_store: Store) -> None:
    """A service with keys may listen anywhere, also once they are revoked: it is never open."""
    keys = KeyStore(chdb_store)
    with pytest.raises(ExposedServiceError):
        check_exposure("0.0.0.0", QuerySettings(), chdb_store)
    key = keys.create("first", "ann", [Grant.parse("admin")])[1]
    check_exposure("0.0.0.0", QuerySettings(), chdb_store)
    keys.revoke(key)
    check_exposure("0.0.0.0", QuerySettings(), chdb_store)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_8_loopback(host: str) -> None:
    """These are reachable from this machine alone, and may run open."""
    assert is_loopback(host)


def test_8_no_answer_opens_the_service_to_other_pages(secured: Secured) -> None:
    """No CORS header, and no detail of the server in an error."""
    for key in (None, "read:*"):
        for path in ("/api/v1/projects", "/api/v1/nope", "/api/v1/runs/a/b/c", "/"):
            answer = secured.call("GET", path, key, headers={"origin": "http://localhost"})
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "Traceback" not in answer.text
            assert "/work/" not in answer.text
