"""The end of a process within a time, whatever hangs in it.

A stop signal starts a drain whose steps are bounded; this is the bound of the whole. Python waits at its exit for
threads that sit in a call of ClickHouse's or Kafka's, and a loop waits for them when it closes: both are cut short.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

import structlog

SERVICE_SECONDS: Final = 4
"""Requests under way are answered in this time, then they are cancelled."""

SERVICE_END_SECONDS: Final = 2.0
"""Time for cancelled requests to end."""

BROKER_SECONDS: Final = 5.0
"""A broker gets SIGTERM, and SIGKILL after this time. A clean stop takes about a second."""

CLOSE_SECONDS: Final = 2.0
"""Time to close the ClickHouse port, and then the store."""

EXIT_SECONDS: Final = 18.0
"""From the first stop signal to the end of the process at the latest.

The ingestor (7 s and 2 s more where it hangs) ends next to the service (4 + 2 s), then the broker (5 s), then what is
closed (2 s): 9 + 5 + 2 = 16. What sends the signal waits 20 s or more.
"""

INCOMPLETE: Final = 1
"""The exit code of a process that ended before everything was drained."""

_KERNEL_SECONDS: Final = 1.0
_log = structlog.get_logger("stepwell.deploy")


class ExitDeadline:
    """Ends this process `seconds` after `begin`. Nothing disarms it: `begin` is called by a process that ends."""

    def __init__(self, seconds: float = EXIT_SECONDS) -> None:
        self._seconds = seconds
        self._begun = False
        self.undrained: list[str] = []

    def begin(self) -> None:
        """Start the time. Further calls change nothing: a second signal neither hastens nor delays the end."""
        if self._begun:
            return
        self._begun = True
        timer = threading.Timer(self._seconds, self.exit_incomplete, ("deadline",))
        timer.daemon = True
        timer.start()
        # The kernel's own timer needs no Python: it ends a process in which a call never gives the interpreter back.
        signal.setitimer(signal.ITIMER_REAL, self._seconds + _KERNEL_SECONDS)

    def not_drained(self, part: str) -> None:
        """Note a part that did not end in its time."""
        self.undrained.append(part)

    def call(self, part: str, function: Callable[[], object], seconds: float) -> None:
        """Call a function that may hang, for so long; it goes on in a thread that nothing waits for."""
        done = threading.Event()

        def called() -> None:
            with suppress(Exception):
                function()
            done.set()

        threading.Thread(target=called, name=f"end-{part}", daemon=True).start()
        if not done.wait(seconds):
            self.not_drained(part)

    def exit_if_incomplete(self) -> None:
        """End the process now where a part was not drained: its threads can't be waited for."""
        if self.undrained:
            self.exit_incomplete()

    def exit_incomplete(self, *parts: str) -> NoReturn:
        """End the process now, without waiting for anything, after a line in the log that names the parts."""
        _log.error("shutdown_incomplete", parts=[*self.undrained, *parts])
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        with suppress(Exception):
            logging.shutdown()
        os._exit(INCOMPLETE)
