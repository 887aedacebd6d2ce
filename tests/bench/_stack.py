"""A stack of its own for a benchmark: `stepwell up` as users run it, in processes of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stepwell_deploy.processes import start_child, stop_child

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.01


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a stack while the block runs; gives its address."""
    log = folder / "up.log"
    stack = start_child(
        [sys.executable, "-m", "stepwell_deploy", "up", "--dir", f"{folder}/server", "--port", "0"], log
    )
    try:
        yield _url(log)
    finally:
        stop_child(stack, _STOP_SECONDS)


def _url(log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("ready "):
                return line.removeprefix("ready ")
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"the stack did not start: {log.read_text()}")
