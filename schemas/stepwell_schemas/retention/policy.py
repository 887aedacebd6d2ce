"""Policies of retention and their rules, as pure functions over plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stepwell_schemas.errors import RetentionError
from stepwell_schemas.rollups.sql import LEVELS

FOREVER: Final = -1
"""A period that never ends."""

KEPT_STEPS: Final = 1 << LEVELS[0]
"""Rows are removed in whole buckets of the lowest rollup level, so that each removed row is in a rollup row."""

PERIOD_RULE: Final = "must be a duration of an hour or more, such as 90d, 12w or 36h, or `forever`"

_FOREVER: Final = "forever"
_PERIOD: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[hdwy])")
_HOUR_MS: Final = 3_600_000
_UNITS_MS: Final = {"y": 8_760 * _HOUR_MS, "w": 168 * _HOUR_MS, "d": 24 * _HOUR_MS, "h": _HOUR_MS}


@dataclass(frozen=True, slots=True)
class Policy:
    """The periods of a project in milliseconds, or FOREVER.

    Attributes:
        raw: for values of the kinds number, string, bool and other, by their own times.
        rollups: for the buckets of numbers, from which curves are drawn where the values are gone.
        media: for media files, by the time of the last value that refers to them.
    """

    raw: int = FOREVER
    rollups: int = FOREVER
    media: int = FOREVER

    @property
    def removes_nothing(self) -> bool:
        """True if all periods are FOREVER."""
        return self == Policy()


def parse_period(field: str, text: str) -> int:
    """Return a period in milliseconds, or FOREVER. Raises: RetentionError."""
    plain = text.strip().lower()
    if plain == _FOREVER:
        return FOREVER
    match = _PERIOD.fullmatch(plain)
    if match is None or not int(match["number"]):
        raise RetentionError(field, text, PERIOD_RULE)
    return int(match["number"]) * _UNITS_MS[match["unit"]]


def format_period(period: int) -> str:
    """Return the text of a period; `parse_period` reads it."""
    if period == FOREVER:
        return _FOREVER
    unit = next(unit for unit, size in _UNITS_MS.items() if period % size == 0)
    return f"{period // _UNITS_MS[unit]}{unit}"


def build_policy(raw: str, rollups: str, media: str) -> Policy:
    """Return the policy with these periods. Raises: RetentionError."""
    policy = Policy(parse_period("raw", raw), parse_period("rollups", rollups), parse_period("media", media))
    if policy.rollups != FOREVER and (policy.raw == FOREVER or policy.rollups < policy.raw):
        raise RetentionError("rollups", rollups, "must not be shorter than `raw`: curves are drawn from both")
    return policy


def describe_policy(policy: Policy) -> dict[str, str]:
    """Return the periods as texts."""
    return {name: format_period(getattr(policy, name)) for name in ("raw", "rollups", "media")}


def oldest_kept(period: int, now: int) -> int | None:
    """Return the time from which on values are kept, in milliseconds since the epoch; None if all are."""
    return None if period == FOREVER else now - period


def next_boundary(last_step: int, young_step: int | None, before: int) -> int:
    """Return the step below which a writer's values go: a multiple of KEPT_STEPS that never falls.

    The bucket of the writer's last step stays, whatever its age: later steps of the run may belong to it, and below
    KEPT_STEPS rows, a bucket takes as much as its rows.

    Args:
        last_step: the writer's last step.
        young_step: its lowest step with a value that is not due; None if all its values are.
        before: the boundary until now, 0 if there was none.
    """
    lowest_kept = last_step if young_step is None else min(young_step, last_step)
    return max(before, lowest_kept // KEPT_STEPS * KEPT_STEPS)


def is_due(now: int, interval: int, last_start: int, requested: int) -> bool:
    """Return True if a pass over a project is due: none began for an interval, or since the last request.

    Args:
        now, last_start, requested: milliseconds since the epoch; 0 for never.
        interval: milliseconds between two passes.
    """
    return now - last_start >= interval or requested > last_start
