"""A database with projects that keys may and may not read, over either DSN, and clients of its SQL interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pyarrow as pa
from fastapi import FastAPI

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.audit import Action, AuditEntry, to_table
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import RunWriter, gathered

ADMIN_KEY: Final = "an-administrator-s-key-of-the-settings-0123456789"
MINE: Final = (("me", "digits"), ("me", 'it\'s \\ "q" `x` ünï 🙂'))
"""The projects that the scoped key may read."""
FOREIGN: Final = (("me", "hidden"), ("other", "digits"), ("me2", "digits"))
SECRET: Final = "SECRET"
"""Part of every text and name that only foreign projects have."""
SECRET_NUMBER: Final = 777.25
ROWS: Final = 40
"""Numbers of each project: 2 runs, of which one key is logged twice at some steps."""


def fill(store: Store) -> None:
    """Write two runs with values of every kind to each project."""
    with gathered(store) as gathering:
        for entity, project in MINE + FOREIGN:
            foreign = (entity, project) in FOREIGN
            text, number = (SECRET, SECRET_NUMBER) if foreign else ("plain", 1.0)
            for name in ("a", "b"):
                run = RunPath(entity, project, f"{name}-{text}" if foreign else name)
                writer = RunWriter(gathering, run)
                writer.document(display_name=text, config={"text": text}, summary={"number": number}, tags=[text])
                writer.numbers("loss", range(10), [number] * 10).numbers("again", range(5), [number] * 5)
                writer.numbers("again", range(5), [number] * 5)
                writer.numbers(f"key-{text}", range(5), [number] * 5)
                writer.strings("text", range(3), [text] * 3).bools("flag", [0], [foreign])
                writer.texts("list", Kind.OTHER, [0], [f'["{text}"]']).texts("image", Kind.IMAGE, [0], [f'"{text}"'])
            conflict = {"writer": text, "asked_step": 1, "step": 2, "version": 1}
            gathering.insert("step_conflict_log", pa.Table.from_pylist([{**run._asdict(), **conflict}]))
            boundary = {"writer": text, "raw_from": 128}
            gathering.insert("retained_steps", pa.Table.from_pylist([{**run._asdict(), **boundary}]))
            entry = AuditEntry(Action.RUN_EDIT, text, entity=entity, project=project, detail={"text": text})
            gathering.insert("audit_events", to_table([entry], 0))
    store.command("OPTIMIZE TABLE {db}.points_number FINAL")


@dataclass
class ScopedSql:
    """A service with access control, and the texts of its keys by their grants."""

    app: FastAPI
    store: Store
    texts: dict[str, str]

    def add_key(self, *grants: str) -> str:
        """Create a key, and return its text."""
        name = " ".join(grants)
        if name not in self.texts:
            given = [Grant.parse(grant) for grant in grants]
            self.texts[name] = KeyStore(self.store).create(name[:100], "owner", given)[0].text
        return self.texts[name]

    def post(self, sql: str, key: str, path: str = "/api/v1/sql", **parameters: Any) -> httpx.Response:
        """Return the answer to a statement, sent with the text of a key."""
        return asyncio.run(self._post(path, {"sql": sql, "parameters": parameters}, key))

    def rows(self, sql: str, key: str) -> list[list[Any]]:
        """Return the rows of a statement that is answered."""
        answer = self.post(sql, key)
        assert answer.status_code == 200, (sql, answer.text)
        found: list[list[Any]] = answer.json()["rows"]
        return found

    async def _post(self, path: str, body: dict[str, Any], key: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            return await client.post(path, json=body)


@contextmanager
def scoped_sql(store: Store) -> Iterator[ScopedSql]:
    """Serve a store with access control."""
    app = create_app(QuerySettings(admin_key=ADMIN_KEY, sql_concurrency=3), store)
    try:
        yield ScopedSql(app, store, {"admin": ADMIN_KEY})
    finally:
        app.state.context.close()
