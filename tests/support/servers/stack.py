"""The real parts that the tests use: one broker and one embedded engine per session, the engine over HTTP too."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.limits import CRASHED_AFTER_SECONDS
from stepwell_schemas.migrations.run_states_view import set_crashed_after
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.settings import KafkaSettings
from support.servers.shared_broker import find_broker
from support.servers.topics import create_topics

_USER = "tests"
_PASSWORD = "tests"
_PARTITIONS = 2
_TOPICS_CREATED = 8
# By default, another thread reads files in memory for the engine: of small statements, that is a tenth of the time.
_CONFIGURATION = """<clickhouse>
<backups><allowed_path>{backups}</allowed_path></backups>
<users_config>{file}</users_config>
<profiles><default><local_filesystem_read_method>pread</local_filesystem_read_method></default></profiles>
<quotas><default/></quotas>
<users><default>
<password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<access_management>1</access_management><named_collection_control>1</named_collection_control>
</default></users>
</clickhouse>"""
_IDENTITY = re.compile(r" UUID '[^']+'")


class Stack:
    """Starts each part when it is first needed, and stops the started ones.

    Migrating a database, connecting to the engine and connecting an admin client take most of the time of a short test.
    Databases are therefore emptied and lent again with their connections, and topics are created several at a time.

    Args:
        folder: for the files of the parts.
        shared_broker: the folder of a broker that other processes use, too; None: a broker of its own.
    """

    def __init__(self, folder: Path, shared_broker: Path | None = None) -> None:
        self._folder = folder
        self._shared_broker = shared_broker
        self._kafka: LocalKafka | None = None
        self._engine: Store | None = None
        self._configured: Any = None
        self._http: ClickHouseHttp | None = None
        self._topics: list[Topics] = []
        self._databases: list[str] = []
        self._stores: dict[str, Store] = {}
        self._schema: dict[str, str] = {}

    def bootstrap_servers(self) -> str:
        """Return `host:port` of the broker."""
        if self._shared_broker is not None:
            return find_broker(self._shared_broker)
        if self._kafka is None:
            self._kafka = LocalKafka(self._folder / "kafka")
            self._kafka.start()
        return self._kafka.bootstrap_servers

    def dsn(self, kind: str) -> str:
        """Return the DSN of the engine: `chdb` in this process, `http` over its HTTP port."""
        folder = self._folder / "engine"
        if self._engine is None:
            self._configured = self._start_engine(folder)
            self._engine = connect(f"chdb://{folder}", "default", pool_size=1)
        if kind == "chdb":
            return f"chdb://{folder}"
        if self._http is None:
            self._http = ClickHouseHttp(folder, "127.0.0.1", 0, _USER, _PASSWORD)
            self._http.start()
        return f"http://{_USER}:{_PASSWORD}@127.0.0.1:{self._http.port}"

    @property
    def backups(self) -> Path:
        """The folder that the engine may write backups to."""
        return self._folder / "backups"

    def _start_engine(self, folder: Path) -> Any:
        """Start the engine with a configuration; the stores that are opened afterwards share it."""
        import chdb

        file = self._folder / "engine.xml"
        file.write_text(_CONFIGURATION.format(backups=self.backups, file=file))
        return chdb.connect(f"{folder}?config-file={file}")

    def guest_dsn(self) -> str:
        """Return the DSN of the engine over HTTP, for a guest."""
        return f"http://127.0.0.1:{self.dsn('http').rpartition(':')[2]}"

    def take_topics(self) -> Topics:
        """Return new topics."""
        if not self._topics:
            names = [uuid.uuid4().hex[:8] for _ in range(_TOPICS_CREATED)]
            self._topics = [Topics(f"events-{name}", f"deadletters-{name}") for name in names]
            asyncio.run(_create_all(self._topics, self.bootstrap_servers()))
        return self._topics.pop()

    @contextmanager
    def lend_database(self) -> Iterator[str]:
        """Lend an empty, migrated database. It is lent again later, unless its tables were changed."""
        name = self._databases.pop() if self._databases else self._create_database()
        yield name
        store = self.embedded(name)
        if self._has_schema(store):
            store.command("SYSTEM START MERGES")
            store.command("TRUNCATE ALL TABLES FROM {db} NOT LIKE 'schema_migrations'")
            self._databases.append(name)
        else:
            store.command("DROP DATABASE IF EXISTS {db} SYNC")
            self._stores.pop(name).close()

    def embedded(self, database: str) -> Store:
        """Return the connections to a database of the engine in this process; they stay open as long as it is lent."""
        if database not in self._stores:
            self._stores[database] = connect(self.dsn("chdb"), database)
        return self._stores[database]

    def _create_database(self) -> str:
        name = f"test_{uuid.uuid4().hex[:8]}"
        store = self.embedded(name)
        migrate(store)
        self._schema = self._schema or self._read_schema(name)
        return name

    def _has_schema(self, store: Store) -> bool:
        """Return True if the tables and views are as migrated, but for the setting of services in a view."""
        found = self._read_schema(store.database)
        if found.keys() == self._schema.keys() and found != self._schema:
            set_crashed_after(store, CRASHED_AFTER_SECONDS)
            found = self._read_schema(store.database)
        return found == self._schema

    def _read_schema(self, database: str) -> dict[str, str]:
        """Return the definition of each table, from the files of the engine: a query takes ten times as long."""
        files = (self._folder / "engine" / "metadata" / database).glob("*.sql")
        return {file.name: _IDENTITY.sub("", file.read_text("utf-8")).replace(database, "") for file in files}

    def stop(self) -> None:
        """Stop the started parts."""
        if self._http is not None:
            self._http.stop()
        for store in self._stores.values():
            store.close()
        if self._engine is not None:
            self._engine.close()
            self._configured.close()
        if self._kafka is not None:
            self._kafka.stop()


@dataclass(frozen=True)
class Topics:
    """Names of a test's own topics."""

    events: str
    deadletters: str

    async def create(self, broker: str) -> None:
        """Create the topics on the broker."""
        settings = KafkaSettings(
            kafka_bootstrap_servers=broker, events_topic=self.events, deadletters_topic=self.deadletters
        )
        await create_topics(settings, _PARTITIONS)


async def _create_all(topics: list[Topics], broker: str) -> None:
    await asyncio.gather(*(each.create(broker) for each in topics))


async def limit_topic(broker: str, topic: str, max_bytes: int) -> None:
    """Set the maximum size of a topic's messages."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        config = {"max.message.bytes": str(max_bytes)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])
    finally:
        await admin.close()
