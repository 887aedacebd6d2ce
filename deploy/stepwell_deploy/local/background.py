"""`stepwell up` as a child process, for callers that need a separate stack temporarily."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stepwell_deploy.errors import StackError
from stepwell_deploy.local.processes import start_child, stop_child

_START_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


@contextmanager
def running_stack(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a stack for the block; yields the URL of its service.

    Args:
        folder: gets the stack's files in `server`, and its output in `up.log`.
        port: of the service; 0: a free one.

    Raises:
        StackError: when the stack does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "up.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "stepwell_deploy", "up", "--dir", str(folder / "server"), "--port", str(port)]
    child = start_child(command, log)
    try:
        yield _wait_until_ready(child, log, time.monotonic() + _START_SECONDS)
    finally:
        stop_child(child, _STOP_SECONDS)


def _wait_until_ready(child: subprocess.Popen[bytes], log: Path, deadline: float) -> str:
    while True:
        text = log.read_text(errors="replace")
        for line in text.splitlines():
            if line.startswith("ready "):
                return line.removeprefix("ready ")
        if child.poll() is not None:
            raise StackError(f"the stack did not start: {text.strip() or 'it printed nothing'}")
        if time.monotonic() > deadline:
            raise StackError(f"the stack did not start within {_START_SECONDS:.0f} s; see {log}")
        time.sleep(_POLL_SECONDS)
