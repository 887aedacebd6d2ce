"""`run.alert()`: messages printed to the terminal and recorded with the run's console output."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any, Final

_WAIT_SECONDS: Final = 60.0


class AlertLevel(Enum):
    """Severity of an alert, with wandb's names."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Alerts:
    """The alerts of a run, rate-limited by title."""

    def __init__(self) -> None:
        self._sent_at: dict[str, float] = {}

    def line(self, now: float, title: str, text: str, level: str | AlertLevel | None, wait: Any) -> str:
        """Return an alert as a line; "" if one of this title was sent less than `wait` seconds before `now`.

        Raises:
            ValueError: for an unknown level. TypeError: for a wait that is no duration.
        """
        try:
            shown = AlertLevel.INFO if level is None else AlertLevel(level)
        except ValueError:
            raise ValueError(
                f"level {level!r}: must be one of {', '.join(known.value for known in AlertLevel)}"
            ) from None
        seconds = wait.total_seconds() if isinstance(wait, timedelta) else _WAIT_SECONDS if wait is None else wait
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"wait_duration {wait!r}: must be seconds or a timedelta")
        sent_at = self._sent_at.get(title)
        if sent_at is not None and now - sent_at < seconds:
            return ""
        self._sent_at[title] = now
        return f"{shown.value}: {title}" + (f": {text}" if text else "")
