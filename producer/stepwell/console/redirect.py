"""Redirection of file descriptors 1 and 2 through the forwarder: captures subprocesses and C code, too.

If a descriptor is a terminal, it becomes a pseudo-terminal of the forwarder, so that programs still see a terminal.
A process redirects once, for any number of runs.
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
from stepwell.terminal import redirect_notices, writes_to

_NAMES: Final = {1: "stdout", 2: "stderr"}
_KINDS: Final = {forwarder.STDOUT: "stdout", forwarder.STDERR: "stderr"}
_LOST: Final = {forwarder.LOST_STDOUT: "stdout", forwarder.LOST_STDERR: "stderr"}
_ABOVE_STANDARD: Final = 3
_DONE_SECONDS: Final = 2.0
_WINDOW_SIZE: Final = b"\0" * 8


class Listener(Protocol):
    """Receiver of captured output."""

    def put(self, name: str, text: str) -> None:
        """Receive output of a stream."""

    def count_lost(self, name: str, lines: int) -> None:
        """Count lines that were dropped from the copy."""


class _Channel(NamedTuple):
    """A redirected descriptor: the saved original, the forwarder's source, and the new target."""

    descriptor: int
    saved: int
    source: int
    target: int


class _Redirection:
    """The forwarder and its channels, shared by all listeners."""

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
        redirect_notices(self._channels[1].saved)
        self._thread = threading.Thread(target=self._listen, name="stepwell-redirect", daemon=True)
        self._thread.start()

    def unredirected(self) -> list[str]:
        """Return the names of those of sys.stdout and sys.stderr that bypass their descriptor, as in notebooks."""
        return [name for descriptor, name in _NAMES.items() if not writes_to(getattr(sys, name), descriptor)]

    def end(self) -> None:
        """Restore the descriptors, and wait until everything written was forwarded and reported."""
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
                # If the descriptor was redirected elsewhere since, leave it.
                if os.path.sameopenfile(channel.target, channel.descriptor):
                    os.dup2(channel.saved, channel.descriptor)
            redirect_notices(None)

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
                        listener.count_lost(_LOST[kind], size)
                if kind in _KINDS:
                    text = decoders[kind].decode(report.read(size))
                    for listener in self.listeners:
                        listener.put(_KINDS[kind], text)
        self._forward_the_rest()

    def _forward_the_rest(self) -> None:
        """Forward the remaining output after the forwarder was killed, so that the user loses none of it."""
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
    """Send output of file descriptors 1 and 2 to a listener from now on.

    Returns a function that stops it, and the names of Python streams that bypass the descriptors.

    Raises:
        OSError: if the descriptors can't be redirected.
    """
    current = _Current.redirection
    if current is None or current.owner != os.getpid():
        current = _Current.redirection = _Redirection()
    current.listeners = (*current.listeners, listener)

    def end() -> None:
        # In a forked child the descriptors still lead to the forwarder, which the parent ends.
        if current.owner != os.getpid():
            return
        current.listeners = tuple(other for other in current.listeners if other is not listener)
        if not current.listeners:
            _Current.redirection = None
            current.listeners = (listener,)
            current.end()

    return end, current.unredirected()


def _channel(descriptor: int) -> _Channel:
    saved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    if not os.isatty(descriptor):
        source, target = os.pipe()
        return _Channel(descriptor, saved, source, target)
    source, target = os.openpty()
    # Raw mode: the user's own terminal does the output processing.
    tty.setraw(target)
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(saved, termios.TIOCGWINSZ, _WINDOW_SIZE))
    return _Channel(descriptor, saved, source, target)


def _flush() -> None:
    for name in _NAMES.values():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            getattr(sys, name).flush()
