"""Hooks on sys.stdout: its attributes are unchanged, with wrappers added before or after."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

import pytest

from stepwell.console.stream_hook import hook_stream
from stepwell.terminal import notify


def _stdout(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def _written(stream: io.TextIOWrapper) -> str:
    return bytes(stream.buffer.getvalue()).decode()  # type: ignore[attr-defined]


def test_output_goes_its_way_and_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[tuple[str, str]] = []
    end = hook_stream("stdout", lambda name, text: heard.append((name, text)))
    print("one")
    stdout.writelines(["two\n"])
    with pytest.raises(UnicodeEncodeError):
        print("é", end="")
    end()
    print("three")
    assert _written(stdout) == "one\ntwo\nthree\n"
    assert "".join(text for _, text in heard) == "one\ntwo\n"
    assert {name for name, _ in heard} == {"stdout"}
    assert sys.stdout is stdout
    assert "write" not in vars(stdout)


def test_who_held_the_stream_before_is_heard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = logging.StreamHandler()
    heard: list[str] = []
    end = hook_stream("stderr", lambda _, text: heard.append(text))
    handler.emit(logging.makeLogRecord({"msg": "logged"}))
    notify("what the SDK says is not the script's output")
    end()
    assert heard == ["logged\n"]
    assert stream.getvalue().startswith("logged\nstepwell: ")


class _Wrapper:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def write(self, text: str) -> Any:
        return self.inner.write(text.upper())


def test_wrappers_that_came_later_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    monkeypatch.setattr(sys, "stdout", _Wrapper(stdout))
    sys.stdout.write("a")
    end()
    sys.stdout.write("b")
    assert (heard, _written(stdout)) == (["A"], "AB")
    assert "write" not in vars(stdout)


def test_a_write_that_somebody_replaced_since_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    ours = stdout.write
    stdout.write = lambda text: ours(text + "!")  # type: ignore[method-assign]
    end()
    sys.stdout.write("a")
    again = hook_stream("stdout", lambda _, text: heard.append(text))
    sys.stdout.write("b")
    again()
    assert (heard, _written(stdout)) == (["b!"], "a!b!")


def test_several_listen_and_each_ends_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    first: list[str] = []
    second: list[str] = []
    ends = [hook_stream("stdout", lambda _, text, to=to: to.append(text)) for to in (first, second)]  # type: ignore[misc]
    stdout.write("a")
    ends[0]()
    stdout.write("b")
    ends[1]()
    assert (first, second, _written(stdout)) == (["a"], ["a", "b"], "ab")


def test_a_stream_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(TypeError, match="stdout"):
        hook_stream("stdout", lambda *_: None)
