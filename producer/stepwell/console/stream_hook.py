"""Listening to `sys.stdout` and `sys.stderr`: their `write` is replaced on the object itself.

So whoever holds the object (a logging handler made before `init()`, a wrapper around it) is heard, `isatty`, `fileno`,
`encoding` and all else stay what they are, and taking the replacement away disturbs no wrapper that came later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from stepwell.terminal import speaking

Sink = Callable[[str, str], None]
"""Told of a stream's name (`stdout`, `stderr`) and a piece of its output."""


class _Tap:
    """One stream object and who listens to it."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.sinks: tuple[Sink, ...] = ()
        self._name = name
        self._own: Callable[[str], Any] | None = None
        self._before: Any = None

    def install(self) -> None:
        """Replace `write`, unless it is replaced already. Raises: AttributeError, TypeError where none can be set."""
        attributes = vars(self.stream)
        # Replaced by somebody else since: theirs most likely calls ours, and would be undone with it.
        if self._own is not None and "write" in attributes:
            return
        self._before = attributes.get("write")
        write, name = self.stream.write, self._name

        def heard(text: str) -> Any:
            # First of all the user's output, with whatever it raises.
            written = write(text)
            if text and self.sinks and not speaking():
                for sink in self.sinks:
                    sink(name, text)
            return written

        self.stream.write = heard
        self._own = heard

    def remove(self) -> None:
        """Put `write` back, where it is still ours; a wrapper around ours goes on through it, unheard."""
        if vars(self.stream).get("write") is not self._own:
            return
        if self._before is None:
            del self.stream.write
        else:
            self.stream.write = self._before
        self._own = None


_taps: Final[list[_Tap]] = []


def listen(name: str, sink: Sink) -> Callable[[], None]:
    """Let `sink` hear what is written to `sys.stdout` or `sys.stderr` from now on; returns what ends it.

    Raises:
        TypeError: when the stream is none, or lets no attribute be set.
    """
    stream = getattr(sys, name)
    tap = next((tap for tap in _taps if tap.stream is stream), None)
    if tap is None:
        tap = _Tap(stream, name)
        _taps.append(tap)
    try:
        tap.install()
    except (AttributeError, TypeError) as error:
        _taps.remove(tap)
        raise TypeError(f"sys.{name} ({type(stream).__name__}) can't be listened to: {error}") from error
    tap.sinks = (*tap.sinks, sink)

    def end() -> None:
        tap.sinks = tuple(other for other in tap.sinks if other is not sink)
        if not tap.sinks:
            tap.remove()

    return end
