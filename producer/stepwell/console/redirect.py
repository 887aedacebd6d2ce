"""Listening at file descriptors 1 and 2, so to subprocesses and C code too: the forwarder is put in between.

Where a descriptor leads to a terminal, it leads to a terminal of the forwarder's afterwards, so that programs see one.
Redirected once a process, however many runs listen.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from stepwell.console import forwarder
from stepwell.terminal import leads_to, speak_to

_NAMES: Final = {1: "stdout", 2: "stderr"}
_KINDS: Final = {forwarder.STDOUT: "stdout", forwarder.STDERR: "stderr"}
_LOST: Final = {forwarder.LOST_STDOUT: "stdout", forwarder.LOST_STDERR: "stderr"}
_ABOVE_STANDARD: Final = 3
_DONE_SECONDS: Final = 2.0
_WINDOW_SIZE: Final = b"\0" * 8


class Listener(Protocol):
    """Who is told of output."""

    def put(self, name: str, text: str) -> None:
        """Take a piece of a stream's output."""

    def lose(self, name: str, lines: int) -> None:
        """Count lines that could not be told."""


class _Channel(NamedTuple):
    """One redirected descriptor: where it led, what the forwarder reads, and what it leads to now."""

    descriptor: int
    saved: int
    source: int
    target: int


class _Redirection:
    """The forwarder and its channels, from the first listener to the last."""

    def __init__(self) -> None:
        self.listeners: tuple[Listener, ...] = ()
        self.owner = os.getpid()
        self._channels = [_channel(descriptor) for descriptor in _NAMES]
        self._report, report = os.pipe()
        control, self._control = os.pipe()
        given = [number for channel in self._channels for number in (channel.source, channel.saved)]
        given += [report, control]
        program = [sys.executable, "-I", "-S", str(Path(forwarder.__file__)), *map(str, given)]
        try:
            subprocess.run(program, pass_fds=given, stdin=subprocess.DEVNULL, start_new_session=True, check=True)
        except subprocess.CalledProcessError as error:
            raise OSError(f"the forwarder ends with {error.returncode}") from error
        finally:
            os.close(report)
            os.close(control)
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._restored = False
        _flush()
        for channel in self._channels:
            os.dup2(channel.target, channel.descriptor)
        speak_to(self._channels[1].saved)
        self._thread = threading.Thread(target=self._listen, name="stepwell-redirect", daemon=True)
        self._thread.start()

    def apart(self) -> list[str]:
        """Return which of sys.stdout and sys.stderr do not write to their descriptor, as in notebooks."""
        return [name for descriptor, name in _NAMES.items() if not leads_to(getattr(sys, name), descriptor)]

    def end(self) -> None:
        """Lead the descriptors back, once everything that was written is forwarded and told."""
        _flush()
        self._restore()
        with contextlib.suppress(OSError):
            os.write(self._control, b"?")
            self._done.wait(_DONE_SECONDS)
        os.close(self._control)
        self._thread.join(_DONE_SECONDS)
        for channel in self._channels:
            os.close(channel.source)
            os.close(channel.saved)
            os.close(channel.target)

    def _restore(self) -> None:
        with self._lock:
            if self._restored:
                return
            self._restored = True
            for channel in self._channels:
                # Somebody else may have led it elsewhere since: that stays.
                if os.path.sameopenfile(channel.target, channel.descriptor):
                    os.dup2(channel.saved, channel.descriptor)
            speak_to(None)

    def _listen(self) -> None:
        decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in _KINDS}
        with os.fdopen(self._report, "rb") as report:
            while len(head := report.read(forwarder.HEAD.size)) == forwarder.HEAD.size:
                kind, size = forwarder.HEAD.unpack(head)
                if kind == forwarder.DONE:
                    self._done.set()
                    if self._restored:
                        return
                    continue
                for listener in self.listeners:
                    if kind in _LOST:
                        listener.lose(_LOST[kind], size)
                if kind in _KINDS:
                    text = decoders[kind].decode(report.read(size))
                    for listener in self.listeners:
                        listener.put(_KINDS[kind], text)
        self._forward_the_rest()

    def _forward_the_rest(self) -> None:
        """The forwarder is gone, which only happens when somebody kills it: lose nothing of the user's output."""
        self._restore()
        self._done.set()
        for channel in self._channels:
            while select.select([channel.source], [], [], 0)[0]:
                data = forwarder.read(channel.source)
                if not data:
                    break
                forwarder.forward(channel.saved, data)


class _Current:
    redirection: _Redirection | None = None


def redirect(listener: Listener) -> tuple[Callable[[], None], list[str]]:
    """Let a listener hear what file descriptors 1 and 2 get from now on.

    Returns what ends it, and the names of those Python streams that write elsewhere and are not heard by it.

    Raises:
        OSError: when the descriptors can't be redirected.
    """
    current = _Current.redirection
    if current is None or current.owner != os.getpid():
        current = _Current.redirection = _Redirection()
    current.listeners = (*current.listeners, listener)

    def end() -> None:
        # In a forked child the descriptors still lead to the forwarder, which is the parent's to end.
        if current.owner != os.getpid():
            return
        current.listeners = tuple(other for other in current.listeners if other is not listener)
        if not current.listeners:
            _Current.redirection = None
            current.listeners = (listener,)
            current.end()

    return end, current.apart()


def _channel(descriptor: int) -> _Channel:
    saved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    if not os.isatty(descriptor):
        source, target = os.pipe()
        return _Channel(descriptor, saved, source, target)
    source, target = os.openpty()
    # The user's own terminal does what a terminal does to output.
    tty.setraw(target)
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(saved, termios.TIOCGWINSZ, _WINDOW_SIZE))
    return _Channel(descriptor, saved, source, target)


def _flush() -> None:
    for name in _NAMES.values():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            getattr(sys, name).flush()
