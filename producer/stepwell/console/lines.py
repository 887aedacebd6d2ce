"""Assembly of output into lines, as a terminal would show them.

A carriage return restarts the line, so only the last state of a progress bar remains. Stacked bars (tqdm's
`position=1`) move the cursor up with a control sequence; such frames replace one another, too. Colours and all other
control sequences are removed, so that lines can be searched.
"""

from __future__ import annotations

import re
from typing import Final

from stepwell.values.convert import escape_surrogates

LINE_MAX_CHARS: Final = 16_384
"""Length limit of a line; longer lines are split."""

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CURSOR_UP: Final = re.compile(r"\x1b\[[0-9]*[AF]")


class Lines:
    """Assembles the output of one stream into lines."""

    def __init__(self) -> None:
        self._tail = ""
        self._frame = ""

    @property
    def open(self) -> str:
        """The visible text of the unfinished line, or of the frame that may be replaced; "" for none."""
        return _shown(self._tail) or self._frame

    def feed(self, text: str) -> list[str]:
        """Add output, and return the lines that it completes."""
        *complete, self._tail = (self._tail + text).split("\n")
        lines: list[str] = []
        for line in complete:
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
        """Return the remaining lines at the end of the output."""
        left = [self._frame, _shown(self._tail)]
        self._tail = self._frame = ""
        return [line for line in left if line]


def _last_state(line: str) -> str:
    """Return a line after its last carriage return; one at the very end is kept, since later output replaces it."""
    shown = line.rstrip("\r")
    return shown.rpartition("\r")[2] + ("\r" if len(shown) < len(line) else "")


def _shown(line: str) -> str:
    return escape_surrogates(_SEQUENCE.sub("", _last_state(line).rstrip("\r")))


def _cut(line: str) -> list[str]:
    return [line[start : start + LINE_MAX_CHARS] for start in range(0, max(len(line), 1), LINE_MAX_CHARS)]
