"""Rate bounds of audit entries: of what one source does often, some entries a minute are kept, and the rest is counted.

Pure: time is an argument, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Source = TypeVar("Source")

WINDOW_SECONDS: Final = 60.0
_SOURCES_MAX: Final = 10_000
"""Sources with a window at a time. Each takes some 500 bytes: 5 MB. The entries of further ones are counted as one."""


@dataclass(slots=True)
class _Window:
    ends: float
    admitted: int = 0
    left_out: int = 0


@dataclass(slots=True)
class RateBound(Generic[Source]):
    """Admits some entries of each source a minute.

    Attributes:
        entries: of one source in one window.
        others: the source that stands for all when there are too many.
    """

    entries: int
    others: Source
    _windows: dict[Source, _Window] = field(default_factory=dict)

    def admit(self, source: Source, now: float) -> bool:
        """Return True if an entry of a source is to be kept; otherwise it is counted."""
        if source not in self._windows and len(self._windows) >= _SOURCES_MAX:
            source = self.others
        window = self._windows.get(source)
        if window is None or window.ends <= now:
            # What an ended window has left out is still to be reported.
            left_out = 0 if window is None else window.left_out
            window = self._windows[source] = _Window(now + WINDOW_SECONDS, left_out=left_out)
        if window.admitted < self.entries:
            window.admitted += 1
            return True
        window.left_out += 1
        return False

    def ended(self, now: float) -> Iterator[tuple[Source, int]]:
        """Remove the windows that have ended, and yield the sources with the number of entries that were left out."""
        over = [source for source, window in self._windows.items() if window.ends <= now]
        for source in over:
            left_out = self._windows.pop(source).left_out
            if left_out:
                yield source, left_out
