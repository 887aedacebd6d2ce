"""Console capture: lines in order, bounded memory, nothing lost at the end."""

from __future__ import annotations

import threading
import time

from stepwell.console.capture import HELD_MAX_CHARS, LINES_A_TICK, Capture

_SECONDS = 20.0


class _Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, bool]] = []

    def write(self, name: str, line: str, at: int, stays: bool) -> bool:
        assert abs(at / 1e6 - time.time()) < 60
        self.rows.append((name, line, stays))
        return True

    def until(self, count: int) -> None:
        deadline = time.monotonic() + _SECONDS
        while len(self.rows) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_every_line_comes_in_order_from_any_thread() -> None:
    rows = _Rows()
    capture = Capture(rows.write)
    capture.start()

    def work(number: int) -> None:
        for line in range(2 * LINES_A_TICK):
            capture.put("stdout", f"{number} {line}\n")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    capture.put("stderr", "unfinished")
    capture.stop()
    assert rows.rows[-1] == ("stderr", "unfinished", False)
    for number in range(3):
        own = [line for _, line, _ in rows.rows if line.startswith(f"{number} ")]
        assert own == [f"{number} {line}" for line in range(2 * LINES_A_TICK)]
    assert capture.dropped == 0


def test_a_line_is_pending_until_it_is_written() -> None:
    pending: list[int] = []

    def write(name: str, line: str, at: int, stays: bool) -> bool:
        pending.append(capture.pending_lines())
        return True

    capture = Capture(write)
    capture.put("stdout", "first\n")
    capture.put("stdout", "second\n")
    capture.start()
    capture.stop()
    assert pending == [2, 1]
    assert capture.pending_lines() == 0


def test_a_flood_is_dropped_and_counted_and_what_follows_is_kept() -> None:
    rows = _Rows()
    capture = Capture(rows.write)
    line = "x" * 1023 + "\n"
    fit = HELD_MAX_CHARS // len(line)
    for _ in range(fit + 50):
        capture.put("stdout", line)
    capture.start()
    rows.until(fit + 1)
    capture.put("stdout", "after\n")
    capture.stop()
    assert capture.dropped == 50
    assert rows.rows[-2][1].startswith("[50 lines ")
    assert rows.rows[-1] == ("stdout", "after", False)
    assert len(rows.rows) == fit + 2


def test_a_bar_is_written_once_a_second_while_it_moves_and_once_at_its_end() -> None:
    rows = _Rows()
    capture = Capture(rows.write)
    capture.start()
    began = time.monotonic()
    number = 0
    while len(rows.rows) < 2:
        assert time.monotonic() - began < _SECONDS
        number += 1
        capture.put("stderr", f"\r{number}")
        time.sleep(0.005)
    took = time.monotonic() - began
    capture.put("stderr", "\rend\n")
    capture.stop()
    *states, last = rows.rows
    assert last == ("stderr", "end", False)
    assert all(stays for _, _, stays in states)
    assert took > 1.0
    assert len(states) <= took + 1


def test_rows_that_find_no_room_are_counted() -> None:
    capture = Capture(lambda *_: False)
    capture.start()
    capture.put("stdout", "a\nb\n")
    capture.stop()
    assert capture.dropped == 2
