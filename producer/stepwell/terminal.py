"""What the SDK says to the person at the terminal: single lines on stderr, never into a program's stdout."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """Write one line; a closed stderr is nobody's problem during training."""
    try:
        sys.stderr.write(f"stepwell: {message}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
