"""The process between redirected output and the terminal: forwards every byte, and tells a copy of it.

A process of its own, and not a thread: a thread would need the interpreter's lock while C code that prints holds it (a
full pipe would stop both for ever), and would take with it, when the process is killed, what it had not forwarded.
It needs nothing but Python's own library, so that it starts in 20 ms.
Whatever becomes of the copy, the bytes go to where they were meant; the forwarder ends when nobody can write any more.

    python -I -S forwarder.py STDOUT_IN STDOUT_OUT STDERR_IN STDERR_OUT REPORT CONTROL    (file descriptors)
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys

HEAD = struct.Struct("<BI")
"""What a frame of the copy begins with: its kind, and how many bytes follow."""

STDOUT, STDERR = 0, 1
"""Kinds of frames: output of that stream."""

LOST_STDOUT, LOST_STDERR = 2, 3
"""Lines of that stream that were not told, since too much waits; the head has their count, and no bytes follow."""

DONE = 4
"""Everything that was written before the request is forwarded and told."""

READ_BYTES = 65_536
WAITING_MAX_BYTES = 1024 * 1024
_LOST = {STDOUT: LOST_STDOUT, STDERR: LOST_STDERR}


class Report:
    """The copy: what waits to be told, within a bound; beyond it, lines are only counted."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting = bytearray()
        self.open = True
        self._lost = {STDOUT: 0, STDERR: 0}
        os.set_blocking(descriptor, False)

    def tell(self, kind: int, data: bytes) -> None:
        """Tell a frame, or count its lines where too much waits already."""
        if not self.open:
            return
        if len(self.waiting) + len(data) > WAITING_MAX_BYTES:
            self._lost[kind] += data.count(b"\n")
            return
        self._tell_lost()
        self.waiting += HEAD.pack(kind, len(data)) + data
        self.flush()

    def done(self) -> None:
        """Tell that everything so far is told."""
        self._tell_lost()
        self.waiting += HEAD.pack(DONE, 0)
        self.flush()

    def _tell_lost(self) -> None:
        for kind, lost in self._lost.items():
            if lost:
                self.waiting += HEAD.pack(_LOST[kind], lost)
                self._lost[kind] = 0

    def flush(self) -> None:
        """Write what the pipe takes now."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.descriptor, self.waiting)]
        except BlockingIOError:
            return
        except OSError:
            self.open = False
            self.waiting.clear()


def read(source: int) -> bytes:
    """Return what there is to read, b"" at the end (a terminal tells its end by an error)."""
    try:
        return os.read(source, READ_BYTES)
    except OSError:
        return b""


def forward(target: int, data: bytes) -> None:
    """Write all of it; output that nobody reads any more is nobody's."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return


def main(descriptors: list[int]) -> None:
    """Forward until all writers are gone."""
    sources = {descriptors[0]: (STDOUT, descriptors[1]), descriptors[2]: (STDERR, descriptors[3])}
    report, control = Report(descriptors[4]), descriptors[5]
    asked = False
    reads = {*sources, control}
    while reads & sources.keys():
        ready, _, _ = select.select(reads, [report.descriptor] if report.waiting else [], [], 0 if asked else None)
        for source in [source for source in sources if source in ready]:
            kind, target = sources[source]
            data = read(source)
            if not data:
                reads.discard(source)
                continue
            forward(target, data)
            report.tell(kind, data)
        if asked and not reads & sources.keys() & set(ready):
            report.done()
            asked = False
        if control in ready:
            asked = bool(read(control))
            if not asked:
                reads.discard(control)
        report.flush()
    report.done()
    while report.waiting and report.open:
        select.select([], [report.descriptor], [])
        report.flush()


if __name__ == "__main__":
    # No child of the training process, whose own waiting for children must not find it.
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    main([int(argument) for argument in sys.argv[1:]])
