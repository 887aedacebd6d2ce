"""Numbers of random draws: fewer in `make test`, more in `make test-long`."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

LONG_EXAMPLES: Final = 1_000
"""Examples of the profile of `make test-long`."""


def draws(fewer: int, more: int) -> int:
    """Return the number of draws of this session: `more` under the profile of `make test-long`."""
    return more if settings().max_examples >= LONG_EXAMPLES else fewer
