"""Sealed values: small documents that a browser keeps for the service, which it can neither read nor change.

A value is a JWE in compact form, encrypted and authenticated with AES-256-GCM (`dir`, `A256GCM`). Each purpose has a
key of its own, derived from the service's secret, so that a value sealed for one can't be used for another.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_KEY_BYTES: Final = 32
_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS: Final = ("dir", "A256GCM")
_SECRET_BYTES: Final = 32

SEALED_MAX_CHARS: Final = 4_000
"""Browsers keep cookies of up to 4,096 bytes with their name and attributes."""


def new_secret() -> str:
    """Return a random secret of 256 bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


class Sealer:
    """Seals and opens values for one purpose; services with the same secret open one another's values."""

    def __init__(self, secret: str, purpose: str) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"stepwell {purpose}".encode()).derive(secret.encode())
        self._key = OctKey.import_key(derived)

    def seal(self, value: Mapping[str, Any]) -> str:
        """Return the sealed form of a JSON document: characters that a cookie may have."""
        plain = json.dumps(value, separators=(",", ":")).encode()
        return jwe.encrypt_compact(dict(_HEADER), plain, self._key, algorithms=list(_ALGORITHMS))

    def open(self, sealed: str) -> dict[str, Any] | None:
        """Return a document that was sealed for this purpose; None for any other text."""
        if len(sealed) > SEALED_MAX_CHARS:
            return None
        try:
            plain = jwe.decrypt_compact(sealed, self._key, algorithms=list(_ALGORITHMS)).plaintext
            value = json.loads(plain or b"")
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        return value if isinstance(value, dict) else None
