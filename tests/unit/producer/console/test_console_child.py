"""The lines of a forked child: written as they are printed, without a thread."""

from __future__ import annotations

import pytest

from stepwell.console.child import ChildLines


def test_lines_are_written_as_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[str, str, bool]] = []

    def write(name: str, line: str, at: int, stays: bool) -> bool:
        rows.append((name, line, stays))
        return line != "refused"

    now = [100.0]
    monkeypatch.setattr("stepwell.console.child.time.monotonic", lambda: now[0])
    lines = ChildLines(write)
    lines.put("stdout", "one\ntwo\n")
    assert rows == [("stdout", "one", False), ("stdout", "two", False)]
    lines.put("stderr", "1%")
    lines.put("stderr", "\r2%")
    now[0] += 1
    lines.put("stderr", "\r3%")
    lines.put("stdout", "refused\n")
    assert rows[2:] == [("stderr", "1%", True), ("stderr", "3%", True), ("stdout", "refused", False)]
    lines.stop()
    assert rows[5:] == [("stderr", "3%", False)]
    assert lines.dropped == 1
