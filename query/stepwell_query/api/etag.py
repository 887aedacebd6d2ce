"""Entity tags of answers about runs: while nothing has changed, a refresh costs one cheap statement.

A tag is a hash of the request and of the stored progress of its runs in `run_activity`, which a flush writes after all
data of views. An answer is therefore at least as recent as its tag, and equal tags imply equal answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

import orjson

from stepwell_query.catalog.models import Activity
from stepwell_schemas.rules.identifiers import RunPath

_VERSION: Final = version("stepwell")
_CHARS: Final = 32


def entity_tag(request: object, runs: Sequence[RunPath], activity: Mapping[RunPath, Activity]) -> str:
    """Return the quoted tag of the answer to a request (any JSON value) about some runs."""
    reached = [[*run, activity.get(run)] for run in runs]
    digest = hashlib.sha256(orjson.dumps([_VERSION, request, reached], option=orjson.OPT_SERIALIZE_DATACLASS))
    return f'"{digest.hexdigest()[:_CHARS]}"'


def has_tag(if_none_match: str | None, tag: str) -> bool:
    """Return True if an If-None-Match header has the tag, with the weak comparison of RFC 9110."""
    if if_none_match is None:
        return False
    return tag in [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
