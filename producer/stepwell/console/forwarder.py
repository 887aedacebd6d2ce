"""Forwarder process between redirected output and the terminal: forwards every byte, and reports a copy.

It is a separate process, not a thread. A thread would need the interpreter lock while C code that prints holds it, so a
full pipe would deadlock both; and if the training process were killed, output not forwarded yet would be lost.
It uses the standard library alone, so that it starts in 20 ms.
Output is forwarded even if the copy is lost. The forwarder exits when all writers have closed their end.

    python -I -S forwarder.py STDOUT_IN STDOUT_OUT STDERR_IN STDERR_OUT REPORT CONTROL    (file descriptors)
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys

HEAD = struct.Struct("<BI")
"""Head of a frame of the copy: its kind, and the number of bytes that follow."""

STDOUT, STDERR = 0, 1
"""Frame kinds: output of that stream."""

LOST_STDOUT, LOST_STDERR = 2, 3
"""Frame kinds: lines of that stream dropped from the copy; the head has their count, and no bytes follow."""

DONE = 4
"""Frame kind: everything written before the request has been forwarded and reported."""

READ_BYTES = 65_536
WAITING_MAX_BYTES = 1024 * 1024
_LOST = {STDOUT: LOST_STDOUT, STDERR: LOST_STDERR}


class Report:
    """The copy of the output: a bounded buffer; beyond the bound, lines are only counted."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting = bytearray()
        self.open = True
        self._lost = {STDOUT: 0, STDERR: 0}
        os.set_blocking(descriptor, False)

    def send(self, kind: int, data: bytes) -> None:
        """Send a frame, or count its lines if the buffer is full."""
        if not self.open:
            return
        if len(self.waiting) + len(data) > WAITING_MAX_BYTES:
            self._lost[kind] += data.count(b"\n")
            return
        self._send_lost()
        self.waiting += HEAD.pack(kind, len(data)) + data
        self.flush()

    def send_done(self) -> None:
        """Send DONE: everything so far has been reported."""
        self._send_lost()
        self.waiting += HEAD.pack(DONE, 0)
        self.flush()

    def _send_lost(self) -> None:
        for kind, lost in self._lost.items():
            if lost:
                self.waiting += HEAD.pack(_LOST[kind], lost)
                self._lost[kind] = 0

    def flush(self) -> None:
        """Write as much of the buffer as the pipe takes without blocking."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.descriptor, self.waiting)]
        except BlockingIOError:
            return
        except OSError:
            self.open = False
            self.waiting.clear()


def read(source: int) -> bytes:
    """Return available bytes, b"" at the end (a terminal signals its end by an error)."""
    try:
        return os.read(source, READ_BYTES)
    except OSError:
        return b""


def forward(target: int, data: bytes) -> None:
    """Write all of it; if the target has no reader any more, the rest is dropped."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return


def main(descriptors: list[int]) -> None:
    """Forward until all writers have closed."""
    sources = {descriptors[0]: (STDOUT, descriptors[1]), descriptors[2]: (STDERR, descriptors[3])}
    report, control = Report(descriptors[4]), descriptors[5]
    done_requested = False
    reads = {*sources, control}
    while reads & sources.keys():
        ready, _, _ = select.select(
            reads, [report.descriptor] if report.waiting else [], [], 0 if done_requested else None
        )
        for source in [source for source in sources if source in ready]:
            kind, target = sources[source]
            data = read(source)
            if not data:
                reads.discard(source)
                continue
            forward(target, data)
            report.send(kind, data)
        if done_requested and not reads & sources.keys() & set(ready):
            report.send_done()
            done_requested = False
        if control in ready:
            done_requested = bool(read(control))
            if not done_requested:
                reads.discard(control)
        report.flush()
    report.send_done()
    while report.waiting and report.open:
        select.select([], [report.descriptor], [])
        report.flush()


if __name__ == "__main__":
    # Detach from the training process: its own `wait()` for children must not return this process.
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    main([int(argument) for argument in sys.argv[1:]])
