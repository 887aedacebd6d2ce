"""Background thread that samples the system metrics of a run. It never fails a training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stepwell.terminal import notify

FIRST_SECONDS: Final = 1.0
"""Time of the first sample, unless the interval is shorter, so that short runs have one, too."""

_JOIN_SECONDS: Final = 2.0
MACHINE: Final = "machine"

Write = Callable[[dict[str, float], int], bool]
"""Writes a sample: values by name, time in µs; returns False if it was dropped."""

Owns = Callable[[str], bool]
"""Returns whether this process samples the machine, or a GPU, for all processes of its run on this node."""


class Sampler:
    """Samples every `seconds`; the first sample comes after FIRST_SECONDS at the latest.

    Every process samples itself. One process of a node samples the machine, and one each GPU; another one takes over
    when it ends. A `patient` process leaves its first sample to the others, so that it is the node's first rank that
    samples the machine.
    """

    def __init__(
        self, seconds: float, folder: Path, write: Write, owns: Owns = lambda _: True, *, patient: bool = False
    ) -> None:
        self._seconds = seconds
        self._folder = folder
        self._write = write
        self._owns = owns
        self._patient = patient
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stepwell-system", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises: RuntimeError if no thread can be started."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, after at most one more sample."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self._sample()
        except Exception as error:
            # Boundary of the thread: whatever happens, training continues without system metrics.
            notify(f"system metrics stopped: {type(error).__name__}: {error}")

    def _sample(self) -> None:
        # Imported in this thread, so that `import stepwell` and `init()` stay fast.
        import psutil

        from stepwell.system.gpus import Gpus
        from stepwell.system.usage import process_only, rates, read

        process = psutil.Process()
        gpus = Gpus()
        before, _ = read(time.monotonic(), process, self._folder)
        pause = min(self._seconds, FIRST_SECONDS)
        while not self._stopped.wait(pause):
            pause = self._seconds
            now, levels = read(time.monotonic(), process, self._folder)
            metrics = {**rates(before, now), **levels}
            if self._patient or not self._owns(MACHINE):
                metrics = process_only(metrics)
            if not self._patient:
                metrics |= gpus.metrics(self._owns)
            self._write(metrics, time.time_ns() // 1000)
            before, self._patient = now, False
        gpus.close()
