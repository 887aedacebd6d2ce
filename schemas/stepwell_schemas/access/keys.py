"""API keys: 256 random bits, of which only a hash is stored.

A slow hash protects passwords, because people choose guessable ones. A key is random, so SHA-256 alone can't be
inverted or searched, and a request is checked in microseconds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.identity import Identity, Method

KEY_PREFIX: Final = "stepwell-"
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 5
ADMIN_KEY_ID: Final = "admin"
"""The id of the key that `STEPWELL_ADMIN_KEY` sets; it is not stored."""


class NewKey(NamedTuple):
    """A key as it is created: its text is shown once, its hash is stored."""

    key_id: str
    text: str
    hash: str


def new_key() -> NewKey:
    """Return a random key. wandb's clients accept it: at least 40 characters follow the first hyphen."""
    text = KEY_PREFIX + secrets.token_hex(_SECRET_BYTES)
    return NewKey(secrets.token_hex(_ID_BYTES), text, hash_key(text))


def hash_key(text: str) -> str:
    """Return the SHA-256 of a key in hexadecimal digits, under which it is stored and found."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key. Times are milliseconds since the epoch; 0 stands for never.

    Attributes:
        key_id: its public id, by which it is listed and revoked.
        hash: SHA-256 of its text.
        name: the purpose that its owner gave it.
        owner: the user who acts with it.
        grants: what it may do.
        created, expires, revoked, last_used: times.
    """

    key_id: str
    hash: str
    name: str
    owner: str
    grants: Sequence[Grant]
    created: int
    expires: int = 0
    revoked: int = 0
    last_used: int = 0

    def is_valid(self, now: int) -> bool:
        """Return True if the key is neither revoked nor expired at `now`."""
        return not self.revoked and (not self.expires or now < self.expires)

    def identity(self) -> Identity:
        """Return the identity of requests with this key."""
        return Identity(self.owner, Method.KEY, tuple(self.grants), self.key_id)
