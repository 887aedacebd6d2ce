"""Helpers of `wandb.util` that libraries call."""

from __future__ import annotations

import json
import secrets
import string
from typing import Any, Final

from stepwell.values.metadata import metadata_value

_ALPHABET: Final = string.ascii_lowercase + string.digits


def generate_id(length: int = 8) -> str:
    """Return a random id of `length` characters of a–z and 0–9."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def json_dumps_safer(obj: Any, **kwargs: Any) -> str:
    """Return an object as JSON, with the conversions of config: parts without a JSON form are their `str`."""
    return json.dumps(metadata_value(obj), **kwargs)
