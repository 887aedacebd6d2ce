"""From pieces of output to lines: what a person would see at the end of each. Pure.

A carriage return goes back to the line's begin, so of a progress bar only the last state stays. Bars below one another
(tqdm's `position=1`) go up again with a control sequence: such frames replace one another too. Colours and all other
control sequences are left out, so that lines can be searched.
"""

from __future__ import annotations

import re
from typing import Final

from stepwell.values.convert import whole_text

LINE_MAX_CHARS: Final = 16_384
"""A longer line is several."""

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CURSOR_UP: Final = re.compile(r"\x1b\[[0-9]*[AF]")


class Lines:
    """The lines of one stream, as its output comes in."""

    def __init__(self) -> None:
        self._tail = ""
        self._frame = ""

    @property
    def open(self) -> str:
        """What the line that has not ended, or the frame that may be replaced, shows now; "" for nothing."""
        return _shown(self._tail) or self._frame

    def feed(self, text: str) -> list[str]:
        """Take more output, and return the lines that it ends."""
        *whole, self._tail = (self._tail + text).split("\n")
        lines: list[str] = []
        for line in whole:
            if _CURSOR_UP.search(line):
                self._frame = _shown(line)
                continue
            lines += [self._frame] if self._frame else []
            self._frame = ""
            lines += _cut(_shown(line))
        self._tail = _last_state(self._tail)
        while len(self._tail) > LINE_MAX_CHARS:
            lines.append(_shown(self._tail[:LINE_MAX_CHARS]))
            self._tail = self._tail[LINE_MAX_CHARS:]
        return lines

    def end(self) -> list[str]:
        """Return what is left when the output has ended."""
        left = [self._frame, _shown(self._tail)]
        self._tail = self._frame = ""
        return [line for line in left if line]


def _last_state(line: str) -> str:
    """Return a line from its last begin on; a carriage return at its end says that what follows replaces it."""
    shown = line.rstrip("\r")
    return shown.rpartition("\r")[2] + ("\r" if len(shown) < len(line) else "")


def _shown(line: str) -> str:
    return whole_text(_SEQUENCE.sub("", _last_state(line).rstrip("\r")))


def _cut(line: str) -> list[str]:
    return [line[start : start + LINE_MAX_CHARS] for start in range(0, max(len(line), 1), LINE_MAX_CHARS)]
