"""Notices of the SDK to the user: single lines on stderr, never on a program's stdout.

Notices are not captured as console output of the run: that holds what the script itself prints.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_STDERR: int = 2


class _State(threading.local):
    notifying = False


class _Redirection:
    """The file descriptor that notices go to while file descriptor 2 is redirected; None for descriptor 2."""

    descriptor: int | None = None


_state = _State()


def notify(message: str) -> None:
    """Write one line to stderr. Errors are ignored: a closed stderr must not stop a training."""
    line = f"stepwell: {message}\n"
    _state.notifying = True
    try:
        if _Redirection.descriptor is not None and writes_to(sys.stderr, _STDERR):
            os.write(_Redirection.descriptor, line.encode("utf-8", "backslashreplace"))
            return
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
    finally:
        _state.notifying = False


def is_notifying() -> bool:
    """Return True while this thread writes a line in `notify`."""
    return _state.notifying


def redirect_notices(descriptor: int | None) -> None:
    """Write later notices to another file descriptor than 2; None switches back to 2."""
    _Redirection.descriptor = descriptor


def writes_to(stream: object, descriptor: int) -> bool:
    """Return whether a text stream writes to a file descriptor."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        same: bool = stream.fileno() == descriptor  # type: ignore[attr-defined]
        return same
    return False
