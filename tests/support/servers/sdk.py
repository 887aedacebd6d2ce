"""A test's own service (broker, ingestor, query service on a socket), and training scripts as real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from stepwell_deploy.local.service_app import ServiceApp, create_service_app
from stepwell_gateway.settings import GatewaySettings
from stepwell_query.api.app import create_app
from stepwell_query.api.server import Server
from stepwell_query.readiness import no_parts
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.connections import server_config
from support.servers.ingest import ingesting, make_ingestor_settings, poll_seconds
from support.servers.scripts import start_command, start_script
from support.servers.stack import Topics

_DEADLINE_SECONDS = 60.0


@dataclass
class Served:
    """The services that a test's scripts log to, and queries of the stored rows."""

    store: Store
    environment: dict[str, str]
    folder: Path
    imported: bool = True

    @property
    def importing(self) -> Served:
        """The same, for scripts that import the SDK themselves, during the run and in its threads."""
        return replace(self, imported=False)

    def start(self, script: str | Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a training script, given as text or as a file."""
        return start_script(
            script, arguments, {**os.environ, **self.environment, **environment}, imported=self.imported
        )

    def run(self, script: str | Path, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        """Run a training script to its end, and check its exit code; return its standard output and error."""
        return end_process(self.start(script, *arguments, **environment), code)

    def start_command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command line `stepwell`."""
        return start_command(arguments, {**os.environ, **self.environment, **environment})

    def command(self, *arguments: str, **environment: str) -> tuple[str, str]:
        """Run a command to its end, which must be a success; return its standard output and error."""
        return end_process(self.start_command(*arguments, **environment), 0)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the same as settings for `init(settings=…)` in this process."""
        prefix = "STEPWELL_"
        given = {name: value for name, value in self.environment.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix).lower(): value for name, value in given.items()}

    def journals(self) -> list[Path]:
        """Return the existing journals."""
        return sorted((self.folder / "journals").glob("*"))

    def numbers(self, key: str, run: str = "run") -> list[tuple[int, float]]:
        """Return the stored values of a key, by step."""
        rows = self.store.query(
            "SELECT step, value FROM {db}.numbers WHERE run_id = {run:String} AND key = {key:String} ORDER BY step",
            {"run": run, "key": key},
        ).to_pylist()
        return [(row["step"], row["value"]) for row in rows]

    def count(self, view: str, run: str = "run") -> int:
        """Return the number of a run's rows in a view."""
        rows = self.store.query(f"SELECT count() AS n FROM {{db}}.{view} WHERE run_id = {{run:String}}", {"run": run})
        return int(rows.column("n")[0].as_py())

    def state(self, run: str = "run") -> str:
        """Return the run's state."""
        rows = self.store.query("SELECT state FROM {db}.runs WHERE run_id = {run:String}", {"run": run}).to_pylist()
        return str(rows[0]["state"]) if rows else ""


def end_process(process: subprocess.Popen[str], code: int, seconds: float = _DEADLINE_SECONDS) -> tuple[str, str]:
    """Wait for the end of a process, and check its exit code; return its standard output and error."""
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == code, err
    return out, err


@contextmanager
def served(broker: str, topics: Topics, store: Store, folder: Path, *, gateway: bool = False) -> Iterator[Served]:
    """Ingest and serve for the block; with `gateway`, at one address with what writes over HTTP."""
    media_url = str(folder / "media")
    serve = partial(serving_with_gateway, broker, topics) if gateway else serving
    temporary = folder.with_name(f"{folder.name}-tmp")
    temporary.mkdir()
    with ingesting_in_thread(broker, topics, store, media_url), serve(store, media_url=media_url) as url:
        environment = {
            "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": broker,
            "STEPWELL_EVENTS_TOPIC": topics.events,
            "STEPWELL_BASE_URL": url,
            "STEPWELL_DIR": str(folder),
            "STEPWELL_ENTITY": "me",
            "STEPWELL_PROJECT": "p",
            # Sync looks for journals in temporary folders, too.
            "TMPDIR": str(temporary),
        }
        yield Served(store, environment, folder)


@contextmanager
def ingesting_in_thread(broker: str, topics: Topics, store: Store, media_url: str) -> Iterator[None]:
    """Run an ingestor in a separate thread for the block."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def ingest() -> None:
        async with ingesting(make_ingestor_settings(broker, topics, media_url=media_url), store):
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(ingest()))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_DEADLINE_SECONDS)
        loop.close()


@contextmanager
def serving(store: Store, port: int = 0, **settings: Any) -> Iterator[str]:
    """Answer queries on a socket for the block; yields the base URL."""
    # Runs of the tests have begun long ago, and those without an end run.
    with serving_app(create_app(QuerySettings(**{"crashed_after_seconds": 1e9} | settings), store), port) as url:
        yield url


@contextmanager
def serving_app(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve an application on a socket for the block; yields the base URL."""
    server = Server(app, server_config(app, 1_000, CONNECTIONS_CLOSED, port=port))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, True)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(_DEADLINE_SECONDS)


class _Service(Server):
    """The query service and the gateway at one address, as in `stepwell up`."""

    def __init__(self, service: ServiceApp, config: uvicorn.Config) -> None:
        super().__init__(service.query, config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.log.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._service.log.close()
        await asyncio.to_thread(self._service.audit.close)


@contextmanager
def serving_with_gateway(broker: str, topics: Topics, store: Store, **settings: Any) -> Iterator[str]:
    """Answer queries, and write events to the test's topic, on a socket for the block; yields the base URL."""
    shared = {name: settings.pop(name) for name in ("admin_key",) if name in settings}
    gateway = GatewaySettings(kafka_bootstrap_servers=broker, events_topic=topics.events, **shared)
    query = QuerySettings(**{"crashed_after_seconds": 1e9} | settings | shared)
    service = create_service_app(query, gateway, store, no_parts)
    server = _Service(service, server_config(service.app, 1_000, CONNECTIONS_CLOSED))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, True)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_DEADLINE_SECONDS)


def eventually(ask: Callable[[], Any], wanted: Any) -> None:
    """Wait until a function returns the expected value."""
    began = time.monotonic()
    while (answer := ask()) != wanted:
        waited = time.monotonic() - began
        assert waited < _DEADLINE_SECONDS, f"{str(answer)[:2000]} never became {str(wanted)[:2000]}"
        time.sleep(poll_seconds(waited))
