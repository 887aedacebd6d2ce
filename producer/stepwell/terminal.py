"""What the SDK says to the person at the terminal: single lines on stderr, never into a program's stdout.

What is said is not captured as the run's console output, which is what the script itself prints.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_STDERR: int = 2


class _State(threading.local):
    speaking = False


class _Aside:
    """Where stderr leads while file descriptor 2 is redirected."""

    descriptor: int | None = None


_state = _State()


def say(message: str) -> None:
    """Write one line; a closed stderr is nobody's problem during training."""
    line = f"stepwell: {message}\n"
    _state.speaking = True
    try:
        if _Aside.descriptor is not None and leads_to(sys.stderr, _STDERR):
            os.write(_Aside.descriptor, line.encode("utf-8", "backslashreplace"))
            return
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
    finally:
        _state.speaking = False


def speaking() -> bool:
    """Whether what this thread writes now is a line of `say`."""
    return _state.speaking


def speak_to(descriptor: int | None) -> None:
    """From now on, say what goes to file descriptor 2 to another one; None: to it again."""
    _Aside.descriptor = descriptor


def leads_to(stream: object, descriptor: int) -> bool:
    """Whether a text stream writes to a file descriptor."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found: bool = stream.fileno() == descriptor  # type: ignore[attr-defined]
        return found
    return False
