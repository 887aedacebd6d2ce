"""API keys in ClickHouse: created, listed and revoked, with the time of their last use.

Synchronous; `key_cache` answers requests without a statement for each.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.keys import ApiKey, NewKey, new_key
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import KeyFieldError, StoreRejectedError
from stepwell_schemas.limits import ACCESS_KEYS_MAX, KEY_GRANTS_MAX, KEY_TEXT_MAX_CHARS

_KEYS: Final = "access_keys"
_USES: Final = "access_key_uses"
_FIELDS: Final = "key_id, hash, name, owner, grants, created, expires, revoked"
_VALID: Final = "revoked = 0 AND (expires = 0 OR expires > {now:Int64})"
# A database of an older version has no table of keys: UNKNOWN_TABLE, UNKNOWN_DATABASE.
_NO_TABLE: Final = frozenset({60, 81})
_SCHEMA: Final = pa.schema(
    [
        ("key_id", pa.string()),
        ("hash", pa.string()),
        ("name", pa.string()),
        ("owner", pa.string()),
        ("grants", pa.list_(pa.string())),
        ("created", pa.int64()),
        ("expires", pa.int64()),
        ("revoked", pa.int64()),
    ]
)


def epoch_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class KeyStore:
    """The stored keys. Every method raises `StoreError` if ClickHouse does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, owner: str, grants: Sequence[Grant], expires: int = 0) -> tuple[NewKey, ApiKey]:
        """Store a new key, and return it with its text, which can't be read again.

        Args:
            name: the purpose of the key.
            owner: the user who acts with it.
            grants: what it may do.
            expires: milliseconds since the epoch; 0 for never.

        Raises:
            KeyFieldError: when a field is not valid, or there are too many keys.
        """
        now = epoch_ms()
        check_key_fields(name, owner, grants, expires, now)
        if self._count(now) >= ACCESS_KEYS_MAX:
            raise KeyFieldError("keys", ACCESS_KEYS_MAX, "is the limit of valid keys; revoke those that are not used")
        created = new_key()
        key = ApiKey(created.key_id, created.hash, name, owner, tuple(grants), now, expires)
        self._insert(key)
        return created, key

    def list(self) -> Sequence[ApiKey]:
        """Return all keys, also those that are revoked or expired, in the order of their creation."""
        uses = self._store.query(f"SELECT key_id, last_used FROM {{db}}.{_USES} FINAL").to_pylist()
        last_used = {row["key_id"]: row["last_used"] for row in uses}
        rows = self._store.query(f"SELECT {_FIELDS} FROM {{db}}.{_KEYS} FINAL ORDER BY created, key_id").to_pylist()
        return [_to_key(row, last_used.get(row["key_id"], 0)) for row in rows]

    def find(self, key_id: str) -> ApiKey | None:
        """Return the key with an id, None if there is none."""
        statement = f"SELECT {_FIELDS} FROM {{db}}.{_KEYS} FINAL WHERE key_id = {{key_id:String}}"
        rows = self._store.query(statement, {"key_id": key_id}).to_pylist()
        return _to_key(rows[0]) if rows else None

    def revoke(self, key: ApiKey) -> ApiKey:
        """Revoke a key for ever, and return it; a key that was revoked keeps its time."""
        if key.revoked:
            return key
        revoked = ApiKey(key.key_id, key.hash, key.name, key.owner, key.grants, key.created, key.expires, epoch_ms())
        self._insert(revoked)
        return revoked

    def touch(self, uses: Mapping[str, int]) -> None:
        """Store the times of the last use of keys, by key id; an older time changes nothing."""
        if uses:
            self._store.insert(_USES, pa.table({"key_id": list(uses), "last_used": list(uses.values())}))

    def valid(self, now: int) -> Sequence[ApiKey]:
        """Return the keys that are neither revoked nor expired at `now`; none of a database without their table."""
        statement = f"SELECT {_FIELDS} FROM {{db}}.{_KEYS} FINAL WHERE {_VALID}"
        return [_to_key(row) for row in self._rows(statement, {"now": now})]

    def any_exists(self) -> bool:
        """Return True if a key was ever created, whether or not it is still valid."""
        return bool(self._rows(f"SELECT 1 AS found FROM {{db}}.{_KEYS} LIMIT 1", {}))

    def _count(self, now: int) -> int:
        statement = f"SELECT count() AS n FROM {{db}}.{_KEYS} FINAL WHERE {_VALID}"
        return int(self._store.query(statement, {"now": now}).column("n")[0].as_py())

    def _rows(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        try:
            rows: Sequence[dict[str, Any]] = self._store.query(statement, parameters).to_pylist()
        except StoreRejectedError as error:
            if error.code in _NO_TABLE:
                return []
            raise
        return rows

    def _insert(self, key: ApiKey) -> None:
        row = {
            "key_id": key.key_id,
            "hash": key.hash,
            "name": key.name,
            "owner": key.owner,
            "grants": [str(grant) for grant in key.grants],
            "created": key.created,
            "expires": key.expires,
            "revoked": key.revoked,
        }
        self._store.insert(_KEYS, pa.Table.from_pylist([row], schema=_SCHEMA))


def check_key_fields(name: str, owner: str, grants: Sequence[Grant], expires: int, now: int) -> None:
    """Check the fields of a new key. Raises: KeyFieldError."""
    for field, text in (("name", name), ("owner", owner)):
        if not text.strip():
            raise KeyFieldError(field, text, "must not be empty")
        if len(text) > KEY_TEXT_MAX_CHARS:
            raise KeyFieldError(field, text, f"must have at most {KEY_TEXT_MAX_CHARS} characters")
        if any(unicodedata.category(char).startswith("C") for char in text):
            raise KeyFieldError(field, text, "must not contain control characters")
    if not 1 <= len(grants) <= KEY_GRANTS_MAX:
        raise KeyFieldError("scopes", len(grants), f"must have 1 to {KEY_GRANTS_MAX} entries")
    if expires and expires <= now:
        raise KeyFieldError("expires", expires, "must be in the future")


def _to_key(row: Mapping[str, Any], last_used: int = 0) -> ApiKey:
    grants = tuple(Grant.parse(text) for text in row["grants"])
    times = (row["created"], row["expires"], row["revoked"])
    return ApiKey(row["key_id"], row["hash"], row["name"], row["owner"], grants, *times, last_used)
