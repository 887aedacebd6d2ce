"""Imports in threads, held apart from forks.

A forked child has only the thread that forked. If another thread was importing a module, the module's lock stays taken
in the child, and importing it there never returns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LONGEST_SECONDS: Final = 10.0
"""The longest wait of a fork: a thread that imports may wait for a module that the forking thread is importing."""


class _Guard:
    """The lock that a thread holds while it imports, and a process while it forks."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._held = self._registered = False

    def register(self) -> None:
        """Register the hooks of forks, once."""
        if self._registered:
            return
        # Hooks that were registered last run first. `logging` holds its lock from its own hook on, which an import may
        # need. Not imported by `import stepwell`, which stays light.
        import logging  # noqa: F401

        os.register_at_fork(before=self.before_fork, after_in_parent=self.after_fork, after_in_child=self.in_child)
        self._registered = True

    def before_fork(self) -> None:
        """Wait until no thread imports."""
        self._held = self.lock.acquire(timeout=_LONGEST_SECONDS)

    def after_fork(self) -> None:
        """Let threads import again, in the parent."""
        if self._held:
            self._held = False
            self.lock.release()

    def in_child(self) -> None:
        """Begin with a lock that no thread holds."""
        self.lock, self._held = threading.RLock(), False


_guard: Final = _Guard()


@contextmanager
def importing() -> Iterator[None]:
    """Hold back forks while this thread imports modules."""
    with _guard.lock:
        _guard.register()
        yield
