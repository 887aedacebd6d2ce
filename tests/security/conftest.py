"""One service with access control over three projects, and keys of every scope over each kind of resource."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from stepwell_query.api.app import create_app
from stepwell_query.media.tables import CONTENT_TYPE
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore, epoch_ms
from stepwell_schemas.access.keys import new_key
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.media_store import file_path
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import RunWriter, gathered
from support.servers.sdk import serving_app
from support.servers.stack import Stack

ADMIN_KEY: Final = "an-administrator-s-key-of-the-settings-0123456789"
PROJECTS: Final = (("alpha", "one"), ("alpha", "two"), ("beta", "one"))
SCOPES: Final = ("read", "write", "admin")
RESOURCES: Final = ("*", "alpha", "alpha/one")
INVALID: Final = ("unknown", "revoked", "expired", "garbage")
SHARED: Final = b"the same bytes in every project"


def marker(entity: str, project: str) -> str:
    """Return a text that every kind of data of a project contains, and no request."""
    return f"marker-of-{hashlib.sha256(f'{entity}/{project}'.encode()).hexdigest()[:12]}"


@dataclass
class Secured:
    """The service, its store, and the texts of its keys by `scope:resource`, or by the reason why they are invalid."""

    app: FastAPI
    store: Store
    keys: KeyStore
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers of requests with a key."""
        return {} if key is None else {"authorization": f"Bearer {self.texts[key]}"}

    def serve(self) -> AbstractContextManager[str]:
        """Serve on a socket for the block; yields the URL."""
        return serving_app(self.app)

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """Return a client that sends a key."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=self.headers(key))

    def call(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        """Return the answer to one request."""

        async def send() -> httpx.Response:
            async with self.client(key) as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())


def store_file(store: Store, folder: Path, run: RunPath, content: bytes, content_type: str) -> str:
    """Store a media file of a run, and return its SHA-256."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / file_path(sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    row = {"sha256": sha256, "size": len(content), "content_type": content_type, **run._asdict(), "version": 1}
    store.insert("media_files", pa.Table.from_pylist([row]))
    return sha256


def fill(store: Store, folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Write a run and files to each project; return the files' SHA-256s by project and kind."""
    files = {}
    with gathered(store) as gathering:
        for entity, project in PROJECTS:
            text, run = marker(entity, project), RunPath(entity, project, "run")
            writer = RunWriter(gathering, run).document(display_name=text, config={text: text}, tags=[text])
            writer.numbers(text, [0, 1, 2], [1.0, 2.0, 3.0]).numbers("loss", [0, 1, 2], [1.0, 2.0, 3.0])
            table = io.BytesIO()
            pq.write_table(pa.table({"text": [text]}), table)
            own = {
                "file": (f"text of {text}".encode(), "text/plain"),
                "page": (f"<p>{text}".encode(), "text/html"),
                "table": (table.getvalue(), CONTENT_TYPE),
                "shared": (SHARED, "text/plain"),
            }
            files[entity, project] = {
                name: store_file(store, folder, run, content, content_type)
                for name, (content, content_type) in own.items()
            }
            pending = hashlib.sha256(text.encode()).hexdigest()
            writer.texts(text, Kind.IMAGE, [3], [f'{{"sha256":"{pending}"}}'])
            files[entity, project]["pending"] = pending
    return files


@pytest.fixture(scope="module")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The service with its keys, for all tests of a module."""
    folder = tmp_path_factory.mktemp("media")
    with stack.lend_database() as database, connect(stack.dsn("chdb"), database) as store:
        settings = QuerySettings(admin_key=ADMIN_KEY, media_url=str(folder))
        app, keys = create_app(settings, store), KeyStore(store)
        running = Secured(app, store, keys, files=fill(store, folder))
        for grant in (Grant.parse(f"{scope}:{resource}") for scope in SCOPES for resource in RESOURCES):
            running.texts[str(grant)] = keys.create(str(grant), "owner", [grant])[0].text
        every = [Grant.parse("admin")]
        revoked, expired = keys.create("revoked", "owner", every), keys.create("expired", "owner", every, 2**53)
        keys.revoke(revoked[1])
        store.command("ALTER TABLE {db}.access_keys UPDATE expires = 1 WHERE expires > 0 SETTINGS mutations_sync = 2")
        running.texts |= {"revoked": revoked[0].text, "expired": expired[0].text, "admin key": ADMIN_KEY}
        running.texts |= {"unknown": new_key().text, "garbage": "x"}
        assert epoch_ms() > 1
        yield running
        app.state.context.close()
