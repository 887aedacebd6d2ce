"""The thread of a sender: failures at its start and later are followed by another attempt."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from stepwell.delivery import sender_thread
from stepwell.delivery.sender_thread import SenderThread
from stepwell.journal.format import JournalInfo
from stepwell.journal.heartbeat import HEART
from stepwell.journal.journal import MemoryJournal
from stepwell_schemas.limits import MIB

_SECONDS = 10.0
_INFO = JournalInfo("me", "p", "run", "session", "")


class Sending:
    """A coroutine that fails some times and then waits for its end; keeps what is reported."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.reported: list[str] = []
        self.running = threading.Event()
        self.journal = MemoryJournal(Path("none"), _INFO, MIB, "drop")
        self.thread = SenderThread(self.journal, self.main, self.reported.append, 0.001)

    async def main(self) -> None:
        """Fail, or run until the end."""
        if self.failures:
            self.failures -= 1
            raise ImportError("no descriptor")
        self.running.set()
        while not self.thread.ending:
            await self.thread.pause(_SECONDS)


def test_an_error_is_followed_by_another_attempt() -> None:
    sending = Sending(failures=3)
    sending.thread.start()
    assert sending.running.wait(_SECONDS)
    assert sending.journal.sender_alive
    assert sending.reported == ["the sender stopped: ImportError: no descriptor"] * 3
    assert sending.thread.end(_SECONDS)
    assert not sending.journal.sender_alive
    sending.journal.release()


def test_an_event_loop_that_cannot_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")] * 2

    loop = sender_thread._Loop

    def make_or_fail() -> asyncio.AbstractEventLoop:
        if failures:
            raise failures.pop()
        return loop()

    monkeypatch.setattr(sender_thread, "_Loop", make_or_fail)
    sending = Sending()
    sending.thread.start()
    assert sending.running.wait(_SECONDS)
    assert len(sending.reported) == 2
    assert sending.thread.end(_SECONDS)
    sending.journal.release()


def test_a_thread_that_cannot_be_started_is_started_by_the_heartbeat_or_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, limited = threading.Thread.start, [True]

    def start_or_refuse(thread: threading.Thread) -> None:
        if limited[0] and thread.name == "stepwell-sender":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
    beaten, ended = Sending(), Sending()
    for sending in (beaten, ended):
        sending.thread.start()
        sending.thread.beat()
        assert not sending.journal.sender_alive
        assert len(sending.reported) == 2
    assert {beaten.thread, ended.thread} <= set(HEART._journals)
    limited[0] = False
    beaten.thread.beat()
    assert beaten.running.wait(_SECONDS)
    for sending in (beaten, ended):
        assert sending.thread.end(_SECONDS)
        assert sending.running.is_set() or sending is ended
        sending.journal.release()
    assert not {beaten.thread, ended.thread} & set(HEART._journals)
    assert ended.thread._thread is not None


def test_errors_at_the_end_do_not_keep_the_thread() -> None:
    sending = Sending(failures=1_000_000)
    sending.thread.start()
    assert sending.thread.end(_SECONDS)
    sending.journal.release()
