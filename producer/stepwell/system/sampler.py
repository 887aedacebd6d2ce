"""The thread that samples the system metrics of a run. Nothing here can fail training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stepwell.terminal import say

FIRST_SECONDS: Final = 1.0
"""When the first sample is taken, unless the interval is shorter: short runs have one too."""

_JOIN_SECONDS: Final = 2.0

Write = Callable[[dict[str, float], int], bool]
"""Writes a sample: values by name, time in µs; False when it was dropped."""


class Sampler:
    """Samples every `seconds`, first after FIRST_SECONDS at the latest."""

    def __init__(self, seconds: float, folder: Path, write: Write) -> None:
        self._seconds = seconds
        self._folder = folder
        self._write = write
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stepwell-system", daemon=True)

    def start(self) -> None:
        """Begin. Raises: RuntimeError when no thread can be had."""
        self._thread.start()

    def stop(self) -> None:
        """End, at most a sample later."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self._sample()
        except Exception as error:
            # The boundary of the thread: whatever it is, training goes on without system metrics.
            say(f"system metrics stopped: {type(error).__name__}: {error}")

    def _sample(self) -> None:
        # Imported here, in this thread, so that importing and starting a run stay quick.
        import psutil

        from stepwell.system.gpus import Gpus
        from stepwell.system.usage import rates, read

        process = psutil.Process()
        gpus = Gpus()
        before, _ = read(time.monotonic(), process, self._folder)
        pause = min(self._seconds, FIRST_SECONDS)
        while not self._stopped.wait(pause):
            pause = self._seconds
            now, levels = read(time.monotonic(), process, self._folder)
            self._write({**rates(before, now), **levels, **gpus.metrics()}, time.time_ns() // 1000)
            before = now
        gpus.close()
