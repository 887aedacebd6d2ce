"""Decisions about a supervised part: when it is restarted, when it counts as hung, and when its alarm is active.

Plain data without I/O; the time is an argument. `stack_supervisor` acts on the decisions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from stepwell_query.readiness import PartReport


class RestartPolicy(NamedTuple):
    """Times of a part's restarts, in seconds.

    Attributes:
        first_seconds: the wait before the first restart; each further failure doubles it.
        longest_seconds: the longest wait. There is no limit to the restarts: events wait in Kafka meanwhile.
        steady_seconds: a part that ran this long begins with the first wait again.
        patience_seconds: a part that does not answer for this long is not ready.
        hang_seconds: a part that does not answer for this long is killed and restarted.
        alarm_seconds: the alarm is active when a part has been down for this long.
        alarm_failures: or when it has failed this many times without a steady run in between.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    steady_seconds: float = 60.0
    patience_seconds: float = 10.0
    hang_seconds: float = 60.0
    alarm_seconds: float = 15.0
    alarm_failures: int = 3


class PartState(StrEnum):
    """State of a part; a `held` part was stopped on purpose, and is not restarted until it is released."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    HELD = "held"


DEFAULT_POLICY: Final = RestartPolicy()
NO_ANSWER: Final = "no_answer"
# 2^32 first waits exceed any longest wait, and the shift stays small.
_MAX_DOUBLINGS: Final = 32


class SupervisedPart:
    """One part: its state, and the decisions that follow from it.

    Attributes:
        name: its name in `/readyz`, metrics and logs.
        state: its state.
        restarts: starts after the first one.
        failures: ends since the last steady run.
        reason: the code of its last end or hold, for programs.
        restart_at: the time of the next start while it is down.
    """

    def __init__(self, name: str, now: float, policy: RestartPolicy = DEFAULT_POLICY) -> None:
        self.name = name
        self.state = PartState.STARTING
        self.restarts = 0
        self.failures = 0
        self.reason = ""
        self.restart_at = now
        self._policy = policy
        self._since = now
        self._away_since: float | None = now
        self._silent_since: float | None = None

    def starting(self, now: float) -> None:
        """Record the begin of a restart."""
        self.restarts += 1
        self._change(PartState.STARTING, now)

    def started(self, now: float) -> None:
        """Record that it runs."""
        self._change(PartState.UP, now)
        self._away_since = None
        self._silent_since = None

    def ended(self, now: float, reason: str) -> float:
        """Record that it ended, or did not start; return the seconds until it is restarted."""
        if self.state is PartState.UP and now - self._since >= self._policy.steady_seconds:
            self.failures = 0
        self.failures += 1
        self.reason = reason
        doublings = min(self.failures - 1, _MAX_DOUBLINGS)
        wait = min(self._policy.first_seconds * (1 << doublings), self._policy.longest_seconds)
        self.restart_at = now + wait
        self._away(PartState.DOWN, now)
        return wait

    def hold(self, now: float, reason: str) -> None:
        """Record that it was stopped on purpose; it is not started until `release`."""
        self.reason = reason
        self._away(PartState.HELD, now)

    def release(self, now: float) -> None:
        """End a hold, so that it is due for a start."""
        self.restart_at = now
        self._change(PartState.DOWN, now)
        # The time of the hold does not count as a failure to start.
        self._away_since = now

    def answered(self, now: float, answered: bool) -> None:
        """Record the result of a probe."""
        if answered:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now

    def is_due(self, now: float) -> bool:
        """Return whether it is due for a start."""
        return self.state is PartState.DOWN and now >= self.restart_at

    def is_ready(self, now: float) -> bool:
        """Return whether it is up and answers."""
        return self.state is PartState.UP and self._silence(now) < self._policy.patience_seconds

    def hangs(self, now: float) -> bool:
        """Return whether it runs and has not answered for so long that it must be killed."""
        return self.state is PartState.UP and self._silence(now) >= self._policy.hang_seconds

    def rings(self, now: float) -> bool:
        """Return whether its alarm is active; a hold has a separate alarm."""
        if self.state is PartState.HELD:
            return False
        if self._away_since is not None and now - self._away_since >= self._policy.alarm_seconds:
            return True
        if self._silence(now) >= self._policy.alarm_seconds:
            return True
        steady = self.state is PartState.UP and now - self._since >= self._policy.steady_seconds
        return self.failures >= self._policy.alarm_failures and not steady

    def report(self, now: float) -> PartReport:
        """Return its entry in `/readyz`."""
        ready = self.is_ready(now)
        silent = self.state is PartState.UP and not ready
        state = PartState.DOWN if silent else self.state
        reason = NO_ANSWER if silent else "" if ready else self.reason
        return PartReport(self.name, str(state), reason, self.restarts)

    def _silence(self, now: float) -> float:
        return 0.0 if self._silent_since is None else now - self._silent_since

    def _away(self, state: PartState, now: float) -> None:
        if self._away_since is None:
            self._away_since = now
        self._silent_since = None
        self._change(state, now)

    def _change(self, state: PartState, now: float) -> None:
        self.state = state
        self._since = now
