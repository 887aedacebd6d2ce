"""Reads that are shared: never one that began before the caller came, and no error or name is mixed up."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock

import pytest

from stepwell_query.shared_reads import SharedReads

DEADLINE_SECONDS = 30.0


class Source:
    """A value that is stored and read; while `gate` is closed, reads that have begun do not end."""

    def __init__(self) -> None:
        self.value = 0
        self.begun = 0
        self.gate = Event()
        self._lock = Lock()

    def read(self) -> int:
        with self._lock:
            self.begun += 1
            value = self.value
        assert self.gate.wait(DEADLINE_SECONDS)
        return value


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_readers_share_the_read_that_begins_after_them() -> None:
    source, shared = Source(), SharedReads[str, int]()
    with ThreadPoolExecutor(10) as threads:
        first = threads.submit(shared.read, "run", source.read)
        until(lambda: source.begun == 1)
        source.value = 1
        others: list[Future[int]] = [threads.submit(shared.read, "run", source.read) for _ in range(9)]
        until(lambda: sum(other.running() for other in others) == len(others))
        source.gate.set()
        assert first.result() == 0
        assert {other.result() for other in others} == {1}, "what was stored before they came"
    assert source.begun == 2
    assert shared.read("run", lambda: 7) == 7


def test_other_names_are_read_meanwhile() -> None:
    source, shared = Source(), SharedReads[str, int]()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(shared.read, "run", source.read)
        until(lambda: source.begun == 1)
        assert shared.read("other", lambda: 5) == 5
        source.gate.set()
        assert first.result() == 0


def test_an_error_is_raised_in_its_readers_and_not_kept() -> None:
    shared = SharedReads[str, int]()

    def fail() -> int:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        shared.read("run", fail)
    assert shared.read("run", lambda: 3) == 3
