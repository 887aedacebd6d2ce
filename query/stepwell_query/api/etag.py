"""Entity tags of answers about runs: a refresh costs one cheap statement while nothing has changed. Pure.

A tag is made of the request and of how far its runs are stored, as `run_activity` says, which a flush writes after all
that views are made of. So an answer is at least as new as its tag: a tag that is the same promises the same bytes.
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
    """Return the tag of the answer to a request (anything that JSON holds) about some runs, quotes included."""
    reached = [[*run, activity.get(run)] for run in runs]
    digest = hashlib.sha256(orjson.dumps([_VERSION, request, reached], option=orjson.OPT_SERIALIZE_DATACLASS))
    return f'"{digest.hexdigest()[:_CHARS]}"'


def has_tag(if_none_match: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names the tag, as RFC 9110 compares them: weakly."""
    if if_none_match is None:
        return False
    return tag in [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
