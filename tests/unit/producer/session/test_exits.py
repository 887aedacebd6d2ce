"""Conclusions about the end of a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from types import FrameType

import pytest

from stepwell.session import exits
from stepwell.session.exits import (
    End,
    end_by_code,
    end_by_exception,
    end_by_request,
    end_by_signal,
    has_returned,
    process_end,
    watch_exits,
)

_FINISHED = End("finished", 0)
_KILLED = End("killed", 130)


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (None, _FINISHED),
        (0, _FINISHED),
        (False, _FINISHED),
        (256, _FINISHED),
        (3, End("failed", 3)),
        (True, End("failed", 1)),
        (-1, End("failed", 255)),
        (2**70 + 7, End("failed", 7)),
        ("x", End("failed", 1)),
        ("", End("failed", 1)),
        (0.0, End("failed", 1)),
    ],
    ids=repr,
)
def test_the_code_of_an_exit_is_the_one_that_the_system_reports(code: object, end: End) -> None:
    assert end_by_code(code) == end
    assert end_by_exception(SystemExit(code)) == end


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, _FINISHED),
        (GeneratorExit(), _FINISHED),
        (ValueError(), End("failed", 1)),
        (asyncio.CancelledError(), End("failed", 1)),
        (KeyboardInterrupt(), _KILLED),
    ],
    ids=repr,
)
def test_the_end_by_an_exception(error: BaseException | None, end: End) -> None:
    assert end_by_exception(error) == end


def test_the_end_by_a_signal_and_by_request() -> None:
    assert end_by_signal(signal.SIGTERM) == End("killed", 143)
    ends = [end_by_request(code) for code in (None, 0, 7, -1, 2**40 + 1)]
    assert ends == [_FINISHED, _FINISHED, End("failed", 7), End("failed", -1), End("failed", 1)]


def _left(*, failing: bool, caught: bool = False) -> FrameType:
    frames = []

    def left() -> None:
        frames.append(sys._getframe())
        try:
            if failing:
                sys.exit(3)
        except SystemExit:
            if not caught:
                raise

    with contextlib.suppress(SystemExit):
        left()
    return frames[0]


def test_a_frame_that_an_exception_left_did_not_return() -> None:
    assert has_returned(_left(failing=False))
    assert has_returned(_left(failing=True, caught=True))
    assert not has_returned(_left(failing=True))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The codes with which another wrapper of `sys.exit` was called."""
    codes: list[object] = []

    def others_exit(code: object = None) -> None:
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(sys, "exit", others_exit)
    monkeypatch.setattr(exits._Noted, "last", None)
    monkeypatch.delattr(sys, "last_value", raising=False)
    return codes


def test_an_exit_counts_if_it_left_the_bottom_of_the_stack(
    fresh: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch_exits()
    watch_exits()
    with pytest.raises(SystemExit):
        sys.exit(3)
    assert fresh == [3]
    noted = exits._Noted.last
    assert noted is not None
    for failing, end in ((True, End("failed", 3)), (False, _FINISHED)):
        monkeypatch.setattr(exits._Noted, "last", noted._replace(bottom=_left(failing=failing)))
        assert process_end() == (end, None)


def test_an_exception_that_ended_a_statement_or_a_test_ends_no_process(
    fresh: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        raise ValueError
    except ValueError as error:
        monkeypatch.setattr(sys, "last_value", error, raising=False)
    assert process_end() == (_FINISHED, None)
    assert not fresh
