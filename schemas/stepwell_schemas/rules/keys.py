"""The rules for metric keys: valid keys, and spellings that denote the same metric."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.limits import KEY_MAX_CHARS

_CACHED_KEYS = 65_536
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs"})


@lru_cache(maxsize=_CACHED_KEYS)
def fold_key(key: str) -> str:
    """Fold a key, so that all spellings of a metric are equal: canonical caseless matching (Unicode 3.13, D145)."""
    if key.isascii():
        return key.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", key).casefold())


@lru_cache(maxsize=_CACHED_KEYS)
def check_key(key: str) -> str:
    """Return `key` if it is valid: 1 to 1,024 characters without control characters or lone surrogates.

    Raises:
        KeyRuleError: with the key and the violated rule.
    """
    if not key:
        raise KeyRuleError("key", key, "must not be empty")
    if len(key) > KEY_MAX_CHARS:
        raise KeyRuleError("key", key, f"must have at most {KEY_MAX_CHARS:,} characters")
    if not (key.isascii() and key.isprintable()) and any(
        unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in key
    ):
        raise KeyRuleError("key", key, "must not contain control characters or lone surrogates")
    return key
