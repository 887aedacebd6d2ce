"""`run.alert()`: messages printed to the terminal and recorded with the run's console output."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from stepwell.session.properties import RunProperties
from stepwell.session.side_streams import STDERR, STDOUT, SideStreams
from stepwell.terminal import notify

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


class RunAlerts(RunProperties):
    """The calls of a run that add lines to its recorded console output."""

    _alerts: Alerts
    _side_streams: SideStreams

    def alert(
        self, title: str, text: str = "", level: str | AlertLevel | None = None, wait_duration: Any = None
    ) -> None:
        """Print an alert to stderr, and record it with the run's console output.

        Args:
            title, text: the message. level: INFO (default), WARN or ERROR.
            wait_duration: seconds, or a timedelta, during which further alerts of this title are skipped; default: 60.

        Raises:
            ValueError: for an unknown level. TypeError: for a wait that is no duration.
        """
        line = self._alerts.line(time.monotonic(), str(title), str(text), level, wait_duration)
        if line and not self.disabled:
            notify(f"{self.id}: {line}")
            self._side_streams.put(STDERR, f"{line}\n")

    def write_logs(self, text: str) -> None:
        """Add text to the run's recorded console output without printing it."""
        self._side_streams.put(STDOUT, text if text.endswith("\n") else f"{text}\n")
