"""Hooks on `sys.stdout` and `sys.stderr`: replace `write` on the stream object itself, and on its buffer.

So output through older references to the object (a logging handler created before `init()`, a wrapper) is captured as
well. `isatty`, `fileno`, `encoding` and other attributes are unchanged, and later wrappers survive the hook's removal.

Other code saves `write` and puts it back later: IPython does so for each cell. `renew_hooks` replaces it again then. If
the code that replaced `write` calls an earlier hook, the innermost hook alone reports a text.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from stepwell.console.buffer_hook import BufferHook, hook_buffer
from stepwell.terminal import is_notifying

Sink = Callable[[str, str], None]
"""Callback for output: the stream's name (`stdout`, `stderr`) and the text."""


class _Calls(threading.local):
    """Calls of hooked writes in this thread: what those under way call, and the number of texts that were reported."""

    def __init__(self) -> None:
        self.writes: list[Callable[[str], Any]] = []
        self.reported = 0


class _StreamHook:
    """A hooked stream object and its sinks."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.sinks: tuple[Sink, ...] = ()
        self._name = name
        self._own: Callable[[str], Any] | None = None
        self._before: Any = None
        self._calls = _Calls()
        self._buffer: BufferHook | None = None
        self._lock, self._owner = threading.RLock(), os.getpid()

    def install(self) -> None:
        """Replace `write`, unless it is a hook. Raises: AttributeError, TypeError if the attribute can't be set."""
        attributes = vars(self.stream)
        present = attributes.get("write")
        if getattr(present, "hook", None) is self:
            return
        if self._buffer is not None and not self._is_in_child():
            # What was written past the hook goes to the buffer now, where it is seen.
            with contextlib.suppress(OSError, ValueError):
                self.stream.flush()
        self._before = present
        write = self.stream.write

        def hooked_write(text: str) -> Any:
            return self._write(write, text)

        hooked_write.hook = self  # type: ignore[attr-defined]
        self.stream.write = hooked_write
        self._own = hooked_write
        if self._buffer is None:
            self._buffer = hook_buffer(self.stream, self._report)

    def _write(self, write: Callable[[str], Any], text: str) -> Any:
        """Write the user's output first, including any exception, and report it then."""
        calls, reported = self._calls, self._calls.reported
        # A signal handler that prints during a call enters by the same hook, code that wraps this hook by another one.
        is_wrapped = bool(calls.writes) and calls.writes[-1] is not write
        is_nested = bool(calls.writes) and not is_wrapped
        with self._held():
            calls.writes.append(write)
            if self._buffer is not None:
                self._buffer.expect(text, replaces=is_wrapped, overtakes=is_nested)
            try:
                written = write(text)
            except BaseException:
                if self._buffer is not None:
                    self._buffer.expect("", replaces=True)
                raise
            finally:
                calls.writes.pop()
        if text and calls.reported == reported:
            self._report(text)
            calls.reported += not is_nested
        return written

    def _is_in_child(self) -> bool:
        """Return whether the process was forked since the stream was last written to."""
        return self._owner != os.getpid()

    def _held(self) -> threading.RLock:
        """Return the lock that keeps the order of texts. A forked child has one of its own: a thread may hold it."""
        if self._is_in_child():
            self._lock, self._owner = threading.RLock(), os.getpid()
        return self._lock

    def _report(self, text: str) -> None:
        if not is_notifying():
            for sink in self.sinks:
                sink(self._name, text)

    def remove(self) -> None:
        """Restore `write` if it is still ours; otherwise it stays as a pass-through for the later wrapper."""
        # A forked child would write what its parent has not flushed yet, too: there, the buffer stays hooked.
        if self._buffer is not None and not self._is_in_child():
            self._buffer.remove()
            self._buffer = None
        if self._own is None or vars(self.stream).get("write") is not self._own:
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


def renew_hooks(*_: Any) -> None:
    """Hook those streams again whose `write` was put back by other code. Takes the arguments of IPython's events."""
    for tap in _hooks:
        if tap.sinks:
            try:
                tap.install()
            except (AttributeError, TypeError, ValueError, OSError):  # closed, or replaced by something else
                continue
