"""States of a run, and the rule by which a run without a sign of life is served as crashed.

The state of the run's last start or end is stored: `running`, or that of the end. A process that is killed, or whose
node is lost, sends no end. `crashed` is not stored for it: it follows from the present time and the time of the run's
last sign of life, which is its last start or the last of its events. A run that comes back is `running` again with its
next event.

Times are milliseconds since the epoch. `alive_since` is the time from which on a sign of life counts.
"""

from __future__ import annotations

from typing import Final

RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
KILLED: Final = "killed"
CRASHED: Final = "crashed"


def alive_since(now: int, crashed_after_seconds: float) -> int:
    """Return the time from which on a sign of life counts at the time `now`."""
    return now - int(crashed_after_seconds * 1_000)


def served_state(stored: str, last_sign: int, since: int) -> str:
    """Return the state that is served for a stored one, given the time of the run's last sign of life."""
    return CRASHED if stored == RUNNING and last_sign < since else stored


def served_state_sql(stored: str, last_sign: str, since: str) -> str:
    """Return the SQL expression of `served_state`, given those of its arguments."""
    return f"if({stored} = '{RUNNING}' AND {last_sign} < {since}, '{CRASHED}', {stored})"
