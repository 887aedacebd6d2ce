"""The record that a rebuild keeps in its own database, so that it continues after an interruption.

It has the commits of the replay, which are those of a consumer group otherwise: offset and plan of each partition. A
flush that was interrupted is therefore repeated with the same events and tokens, as after the crash of an ingestor.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from stepwell_schemas.clickhouse.store import Store

TABLE: Final = "rebuild_record"
_COMMIT: Final = "commit:"
_READ: Final = "read:"


class RebuildRecord:
    """Named JSON values in a table of a database. Thread-safe. Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._version = 0
        self._values: dict[str, Any] = {}

    def open(self) -> None:
        """Create the table if it is missing, and read it; the database must exist."""
        self._store.command(
            f"CREATE TABLE IF NOT EXISTS {{db}}.{TABLE} (name String, value String, version UInt64)"
            " ENGINE = ReplacingMergeTree(version) ORDER BY name"
        )
        rows = self._store.query(f"SELECT name, value, version FROM {{db}}.{TABLE} FINAL").to_pylist()  # noqa: S608
        self._version = max((row["version"] for row in rows), default=0)
        self._values = {row["name"]: json.loads(row["value"]) for row in rows}

    def get(self, name: str) -> Any:
        """Return a value; None if there is none."""
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Store a value; return once it is stored."""
        with self._lock:
            version = self._version + 1
            self._store.command(
                f"INSERT INTO {{db}}.{TABLE} (name, value, version)"
                " SELECT {name:String}, {value:String}, {version:UInt64}",
                {"name": name, "value": json.dumps(value), "version": version},
            )
            self._version, self._values[name] = version, value

    def committed(self, partition: int) -> CommittedOffset | None:
        """Return the replay's commit for a partition; None before the first one."""
        found = self.get(f"{_COMMIT}{partition}")
        return None if found is None else CommittedOffset(*found)

    def commit(self, partition: int, offset: int, plan: str) -> None:
        """Store the replay's commit for a partition."""
        self.put(f"{_COMMIT}{partition}", [offset, plan])

    def reached(self, partition: int) -> int:
        """Return the offset before which a partition has nothing more to replay."""
        commit = self.committed(partition)
        settled = 0 if commit is None else commit.offset or 0
        return settled if commit is not None and commit.plan else max(settled, self.get(f"{_READ}{partition}") or 0)

    def read(self, partition: int, end: int) -> None:
        """Store that a partition was read up to an offset, after its last event."""
        self.put(f"{_READ}{partition}", end)
