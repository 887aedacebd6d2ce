"""Hook on the buffer of a text stream: reports bytes that are written to `sys.stdout.buffer` itself.

The stream writes its texts to the same buffer, later and in larger pieces. They are expected there, and left out.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, Final

_STATELESS: Final = frozenset({"utf-8", "ascii", "iso8859-1"})
"""Encodings in which a text has the same bytes wherever it stands."""

_EXPECTED_MAX_BYTES: Final = 8_192
"""The bytes that a text stream holds back at most. More of them are expected only after they came otherwise."""


class BufferHook:
    """A hooked buffer.

    Attributes:
        buffer: the object whose `write` is replaced.
    """

    def __init__(self, stream: Any, encoding: str, report: Callable[[str], None]) -> None:
        """Replace `write` of the stream's buffer. Raises: AttributeError, TypeError if the attribute can't be set."""
        buffer = self.buffer = stream.buffer
        self._stream = stream
        self._encoding, self._errors = encoding, stream.errors or "strict"
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._report = report
        self._expected = bytearray()
        self._mark = 0
        self._overtakes = False
        write = buffer.write

        def hooked_write(data: Any) -> Any:
            written = write(data)
            self._take(bytes(data))
            return written

        buffer.write = hooked_write
        self._own = hooked_write

    def expect(self, text: str, *, replaces: bool = False, overtakes: bool = False) -> None:
        """Expect a text that the stream is about to write.

        Args:
            replaces: it is written instead of the one expected last, by code that wraps the hook.
            overtakes: it is written while the one expected last is, by a signal handler.
        """
        self._overtakes = overtakes
        if replaces:
            del self._expected[self._mark :]
        elif not overtakes and self._has_arrived():
            self._expected.clear()
        self._mark = len(self._expected)
        try:
            self._expected += text.encode(self._encoding, self._errors)
        except (UnicodeError, AttributeError):  # the stream refuses it, too
            return

    def _has_arrived(self) -> bool:
        """Return whether the stream has written all that is expected, in whatever form."""
        expected, stream = self._expected, self._stream
        at_end_of_line = stream.line_buffering and expected.endswith(b"\n")
        return len(expected) > _EXPECTED_MAX_BYTES or stream.write_through or at_end_of_line

    def _take(self, data: bytes) -> None:
        """Report bytes, except for expected ones: all texts of the stream, or all but the newest."""
        expected = self._expected
        if data == expected[: self._mark]:
            del expected[: self._mark]
            self._mark = 0
            return
        if self._overtakes and data == expected[self._mark :]:
            del expected[self._mark :]
            return
        if expected and data.startswith(expected):
            # What follows was written past the stream's hook.
            data = data[len(expected) :]
            expected.clear()
            self._mark = 0
        text = self._decoder.decode(data)
        if text:
            self._report(text)

    def remove(self) -> None:
        """Restore `write`, unless other code has replaced it."""
        if vars(self.buffer).get("write") is self._own:
            del self.buffer.write
        self._report = _ignore


def hook_buffer(stream: Any, report: Callable[[str], None]) -> BufferHook | None:
    """Report what is written to a text stream's buffer from now on; None if it has none that can be hooked."""
    if not isinstance(stream, TextIOWrapper):
        return None
    try:
        name = codecs.lookup(stream.encoding).name
        if name not in _STATELESS or "write" in vars(stream.buffer):
            return None
        stream.flush()
        return BufferHook(stream, name, report)
    except (AttributeError, TypeError, LookupError, ValueError, OSError):
        return None


def _ignore(text: str) -> None:
    """Drop a text after the end of capturing."""
