"""Assembly of lines as a terminal shows them, for any split of the output."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.console.lines import LINE_MAX_CHARS, Lines

_UP = "\x1b[A"


def _all(*pieces: str) -> list[str]:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)]
    return found + lines.end()


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        (["a\nb\n"], ["a", "b"]),
        (["a", "b", "\n", "\n", "c"], ["ab", "", "c"]),
        (["windows\r\n", "end\r", "\n"], ["windows", "end"]),
        (["\r 1%", "\r 2%", "\r 3%\n"], [" 3%"]),
        ([" 1%\r", " 2%\r", " 3%\r"], [" 3%"]),
        (["bar\r", "   \r", "text\n"], ["text"]),
        (["\x1b[31mred\x1b[0m \x1b]8;;u\x07link\x1b]8;;\x07\n"], ["red link"]),
        (["\x1b[3", "1mcut\x1b[", "0m\n"], ["cut"]),
        (["lone \udc80\n"], ["lone \\udc80"]),
        ([f"\n\router 1{_UP}", f"\n\router 2{_UP}", "\n", "text\n"], ["", "outer 2", "text"]),
        ([f"\n\router 1{_UP}", f"\n\router 2{_UP}", "\n"], ["", "outer 2"]),
    ],
)
def test_lines_are_what_is_seen_of_them(pieces: list[str], seen: list[str]) -> None:
    assert _all(*pieces) == seen


def test_a_long_line_is_several_and_a_bar_of_any_length_is_held_in_little() -> None:
    long = "x" * (2 * LINE_MAX_CHARS + 1)
    assert [len(line) for line in _all(long + "\n")] == [LINE_MAX_CHARS, LINE_MAX_CHARS, 1]
    lines = Lines()
    assert "".join(lines.feed(long)) + lines.open == long
    assert lines.feed("".join(f"\r{number}" for number in range(100_000))) == []
    assert (lines.open, len(lines._tail)) == ("99999", 5)


def test_an_unfinished_line_shows_its_state() -> None:
    lines = Lines()
    states = []
    for piece in ("\r10%", "\r20%", "\r30%\r", "\n", "wait"):
        lines.feed(piece)
        states.append(lines.open)
    assert states == ["10%", "20%", "30%", "", "wait"]


@given(st.text("ab\r\n", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_it_does_not_matter_how_output_is_cut(text: str, places: list[int]) -> None:
    ends = [0, *sorted({min(place, len(text)) for place in places}), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]
    assert _all(*pieces) == _all(text)
