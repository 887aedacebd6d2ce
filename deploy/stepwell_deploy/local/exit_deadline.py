"""Deadline for the end of a process, whatever hangs in it.

A stop signal starts a drain whose steps have time limits; this is the limit of all steps together. At exit, Python
waits for threads that are blocked in a call of ClickHouse or Kafka, and so does an event loop when it closes: the
deadline ends both waits.
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
"""Running requests may finish within this time, then they are cancelled."""

SERVICE_END_SECONDS: Final = 2.0
"""Time for cancelled requests to end."""

BROKER_SECONDS: Final = 5.0
"""The broker gets SIGTERM, and SIGKILL after this time. A clean stop takes about a second."""

CLOSE_SECONDS: Final = 2.0
"""Time to close the ClickHouse port, and then the store."""

EXIT_SECONDS: Final = 18.0
"""Time limit from the first stop signal to the end of the process.

The ingestor (7 s, and 2 s more if it hangs) ends concurrently with the service (4 + 2 s), then the broker (5 s), then
the ClickHouse port and the store (2 s): 9 + 5 + 2 = 16. The sender of the signal waits 20 s or more.
"""

INCOMPLETE: Final = 1
"""The exit code of a process that ended before everything was drained."""

_KERNEL_SECONDS: Final = 1.0
_log = structlog.get_logger("stepwell.deploy")


class ExitDeadline:
    """Ends this process `seconds` after `begin`. It can't be disarmed, since only a process that ends calls `begin`."""

    def __init__(self, seconds: float = EXIT_SECONDS) -> None:
        self._seconds = seconds
        self._begun = False
        self.undrained: list[str] = []

    def begin(self) -> None:
        """Start the timer. Idempotent: a second signal does not change the deadline."""
        if self._begun:
            return
        self._begun = True
        timer = threading.Timer(self._seconds, self.exit_incomplete, ("deadline",))
        timer.daemon = True
        timer.start()
        # The kernel's timer works without Python: it ends a process in which a call never releases the GIL.
        signal.setitimer(signal.ITIMER_REAL, self._seconds + _KERNEL_SECONDS)

    def not_drained(self, part: str) -> None:
        """Record a part that did not end within its time limit."""
        self.undrained.append(part)

    def call(self, part: str, function: Callable[[], object], seconds: float) -> None:
        """Call a function that may hang, and wait this long; after that it continues in a daemon thread."""
        done = threading.Event()

        def called() -> None:
            with suppress(Exception):
                function()
            done.set()

        threading.Thread(target=called, name=f"end-{part}", daemon=True).start()
        if not done.wait(seconds):
            self.not_drained(part)

    def exit_if_incomplete(self) -> None:
        """End the process now if a part was not drained, since its threads can't be joined."""
        if self.undrained:
            self.exit_incomplete()

    def exit_incomplete(self, *parts: str) -> NoReturn:
        """Log the parts that were not drained, and end the process immediately."""
        _log.error("shutdown_incomplete", parts=[*self.undrained, *parts])
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        with suppress(Exception):
            logging.shutdown()
        os._exit(INCOMPLETE)
