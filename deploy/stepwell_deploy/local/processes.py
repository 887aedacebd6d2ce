"""Child processes that end with their parent, and that are stopped within a time limit."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def start_child(
    command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child that is killed when this process ends for any reason; its output is appended to a file.

    On Linux, the kernel's parent-death signal does this. Call it from the main thread, or from a thread that lives as
    long as the process, since the signal is sent when the starting thread ends. On other systems, a child outlives a
    parent that was killed with SIGKILL.
    The child gets its own session, so that a Ctrl-C in the terminal reaches only the parent, which then drains.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def die_with_parent() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # The parent may have died before the signal was requested.
            if os.getppid() != parent:
                os._exit(1)

    with output.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def stop_child(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Send SIGTERM to a child; after `seconds`, send SIGKILL."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def end_reason(code: int) -> str:
    """Return the reason code for the end of a process: `exit_code_3`, or `killed_by_SIGKILL`."""
    if code >= 0:
        return f"exit_code_{code}"
    try:
        return f"killed_by_{signal.Signals(-code).name}"
    except ValueError:
        return f"killed_by_{-code}"
