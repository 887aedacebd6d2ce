"""The key rule: which keys a metric may have, and when two spellings name one metric."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.limits import KEY_MAX_CHARS

_CACHED_KEYS = 65_536
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs"})


@lru_cache(maxsize=_CACHED_KEYS)
def fold_key(key: str) -> str:
    """Return what two spellings of one metric share: canonical caseless matching (Unicode 3.13, D145)."""
    if key.isascii():
        return key.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", key).casefold())


@lru_cache(maxsize=_CACHED_KEYS)
def check_key(key: str) -> str:
    """Return `key` when a metric may have it: 1 to 1,024 characters, none of them a control or a lone surrogate.

    Raises:
        KeyRuleError: naming the key and the rule it breaks.
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
