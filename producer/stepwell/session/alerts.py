"""`run.alert()`: what somebody should know, said at the terminal and kept with the run's console output."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any, Final

_WAIT_SECONDS: Final = 60.0


class AlertLevel(Enum):
    """How urgent an alert is, with wandb's names."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Alerts:
    """The alerts of a run: which are told, and as what."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def line(self, now: float, title: str, text: str, level: str | AlertLevel | None, wait: Any) -> str:
        """Return an alert as a line; "" where one of this title was told less than `wait` (seconds) before `now` (s).

        Raises:
            ValueError: for a level that is none. TypeError: for a wait that is no time.
        """
        try:
            shown = AlertLevel.INFO if level is None else AlertLevel(level)
        except ValueError:
            raise ValueError(f"level {level!r}: must be one of {', '.join(one.value for one in AlertLevel)}") from None
        seconds = wait.total_seconds() if isinstance(wait, timedelta) else _WAIT_SECONDS if wait is None else wait
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"wait_duration {wait!r}: must be seconds or a timedelta")
        told_at = self._told_at.get(title)
        if told_at is not None and now - told_at < seconds:
            return ""
        self._told_at[title] = now
        return f"{shown.value}: {title}" + (f": {text}" if text else "")
