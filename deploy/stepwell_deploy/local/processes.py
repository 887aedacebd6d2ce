"""Child processes that end with their parent, and ends that come within a deadline."""

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
    """Start a child that is killed when this process dies, however it dies; its output is appended to a file.

    The kernel's parent-death signal does this on Linux; call it from the main thread or from one that lives as long as
    the process, since the signal follows the thread that started the child. Elsewhere a child outlives a parent that
    was killed with SIGKILL.
    The child gets a session of its own, so that a Ctrl-C in the terminal reaches the parent alone, which then drains.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def die_with_parent() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # The parent may have died before the signal was asked for.
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
    """Ask a child to end with SIGTERM; after `seconds`, end it with SIGKILL."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def end_reason(code: int) -> str:
    """Return the code of a process's end, for programs: `exit_code_3`, or `killed_by_SIGKILL`."""
    if code >= 0:
        return f"exit_code_{code}"
    try:
        return f"killed_by_{signal.Signals(-code).name}"
    except ValueError:
        return f"killed_by_{-code}"
