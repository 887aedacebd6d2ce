"""Hooks on `sys.stdout` and `sys.stderr`: replace `write` on the stream object itself.

So output through older references to the object (a logging handler created before `init()`, a wrapper) is captured as
well. `isatty`, `fileno`, `encoding` and other attributes are unchanged, and later wrappers survive the hook's removal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from stepwell.terminal import is_notifying

Sink = Callable[[str, str], None]
"""Callback for output: the stream's name (`stdout`, `stderr`) and the text."""


class _StreamHook:
    """A hooked stream object and its sinks."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.sinks: tuple[Sink, ...] = ()
        self._name = name
        self._own: Callable[[str], Any] | None = None
        self._before: Any = None

    def install(self) -> None:
        """Replace `write`, unless done already. Raises: AttributeError, TypeError if the attribute can't be set."""
        attributes = vars(self.stream)
        # A later replacement by other code most likely calls ours, which must then stay in place.
        if self._own is not None and "write" in attributes:
            return
        self._before = attributes.get("write")
        write, name = self.stream.write, self._name

        def hooked_write(text: str) -> Any:
            # The user's output first, including any exception.
            written = write(text)
            if text and self.sinks and not is_notifying():
                for sink in self.sinks:
                    sink(name, text)
            return written

        self.stream.write = hooked_write
        self._own = hooked_write

    def remove(self) -> None:
        """Restore `write` if it is still ours; otherwise it stays as a pass-through for the later wrapper."""
        if vars(self.stream).get("write") is not self._own:
            return
        if self._before is None:
            del self.stream.write
        else:
            self.stream.write = self._before
        self._own = None


_hooks: Final[list[_StreamHook]] = []


def hook_stream(name: str, sink: Sink) -> Callable[[], None]:
    """Send text written to `sys.stdout` or `sys.stderr` to `sink` from now on; return a function that stops it.

    Raises:
        TypeError: if the stream can't be hooked.
    """
    stream = getattr(sys, name)
    tap = next((tap for tap in _hooks if tap.stream is stream), None)
    if tap is None:
        tap = _StreamHook(stream, name)
        _hooks.append(tap)
    try:
        tap.install()
    except (AttributeError, TypeError) as error:
        _hooks.remove(tap)
        raise TypeError(f"sys.{name} ({type(stream).__name__}) can't be captured: {error}") from error
    tap.sinks = (*tap.sinks, sink)

    def end() -> None:
        tap.sinks = tuple(other for other in tap.sinks if other is not sink)
        if not tap.sinks:
            tap.remove()

    return end
