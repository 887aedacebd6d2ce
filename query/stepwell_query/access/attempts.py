"""Limit of failed sign-ins of a client address.

Keys have 256 random bits, so guessing is hopeless without a limit too. It bounds the statements, log lines and requests
to the identity provider that a client causes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

ATTEMPTS_BURST: Final = 10
"""Failures in a row before a client has to wait."""

ATTEMPT_SECONDS: Final = 30.0
"""Seconds after which one more attempt is allowed."""

CLIENTS_MAX: Final = 10_000
"""Addresses that are remembered: 10,000 of about 200 bytes."""


class SignInAttempts:
    """Failures of each client: a bucket of `ATTEMPTS_BURST`, of which one is given back every `ATTEMPT_SECONDS`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The time at which a client's bucket is full again; the longest unused first.
        self._full_at: dict[str, float] = {}

    def seconds_to_wait(self, client: str) -> int:
        """Return the seconds until a client may try again; 0 if it may now."""
        missing = (self._full_at.get(client, 0.0) - self._clock()) / ATTEMPT_SECONDS
        return max(0, math.ceil((missing - (ATTEMPTS_BURST - 1)) * ATTEMPT_SECONDS))

    def failed(self, client: str) -> None:
        """Count a failure."""
        now = self._clock()
        full_at = max(self._full_at.pop(client, now), now) + ATTEMPT_SECONDS
        self._full_at[client] = full_at
        while len(self._full_at) > CLIENTS_MAX:
            self._full_at.pop(next(iter(self._full_at)))
