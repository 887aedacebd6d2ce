"""Expiry of keys: `30d`, `12h`, `never`, or a date and time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from stepwell_schemas.errors import KeyFieldError

NEVER: Final = "never"
EXPIRY_RULE: Final = "must be a duration such as 30d or 12h, a time such as 2027-01-31T12:00:00Z, or `never`"

_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdwy])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_LATEST_MS: Final = 2**53


def parse_expiry(text: str, now: int) -> int:
    """Return the time that a text names in milliseconds since the epoch, 0 for never. Raises: KeyFieldError.

    Args:
        text: a duration from `now` on, a date or a time (UTC unless it names an offset), or `never`.
        now: milliseconds since the epoch.
    """
    plain = text.strip().lower()
    if plain in {"", NEVER}:
        return 0
    duration = _DURATION.fullmatch(plain)
    if duration is not None:
        expires = now + int(duration["number"]) * _SECONDS[duration["unit"]] * 1_000
    else:
        try:
            time = datetime.fromisoformat(text.strip())
            expires = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError) as error:
            raise KeyFieldError("expires", text, EXPIRY_RULE) from error
    if not now < expires <= _LATEST_MS:
        raise KeyFieldError("expires", text, "must be in the future")
    return expires


def format_time(milliseconds: int) -> str | None:
    """Return a time in ISO 8601, None for never."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
