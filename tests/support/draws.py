"""Numbers of random draws: fewer in `make test`, more in `make test-long`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from hypothesis import settings

T = TypeVar("T")
LONG_EXAMPLES: Final = 1_000
"""Examples of the profile of `make test-long`."""


def draws(fewer: int, more: int) -> int:
    """Return the number of draws of this session: `more` under the profile of `make test-long`."""
    return more if settings().max_examples >= LONG_EXAMPLES else fewer


def in_turn(options: Sequence[T], number: int, count: int) -> list[T]:
    """Return `count` of the options for the case of a number: fewer than all come in turn."""
    return [options[(number + place) % len(options)] for place in range(count)]
