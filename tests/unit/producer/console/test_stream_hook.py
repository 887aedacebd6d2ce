"""Hooks on sys.stdout: its attributes are unchanged, with wrappers added before or after."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stepwell.console.stream_hook import hook_stream, renew_hooks
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


def test_a_write_that_is_put_back_is_hooked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[str] = []
    saved = stdout.write
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    print("one")
    stdout.write = saved  # type: ignore[method-assign]
    # Past the hook: the bytes that reach the buffer are seen.
    print("two")
    renew_hooks()
    print("three")
    end()
    print("four")
    assert "".join(heard) == "one\ntwo\nthree\n"
    assert _written(stdout) == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize("write_through", [True, False])
def test_bytes_are_heard_and_texts_once(monkeypatch: pytest.MonkeyPatch, write_through: bool) -> None:
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="utf-8", write_through=write_through)
    monkeypatch.setattr(sys, "stdout", stdout)
    print("before the hook")
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    print("é text")
    stdout.buffer.write("bytes é\n".encode())
    for part in "split é\n".encode():
        stdout.buffer.write(bytes([part]))
    print("more", flush=True)
    print("x" * 20_000)
    stdout.buffer.write(memoryview(b"a view\n"))
    stdout.writelines(["a\n", "b\n"])
    stdout.flush()
    end()
    stdout.buffer.write(b"after\n")
    assert "write" not in vars(stdout.buffer)
    lines = "".join(heard).split("\n")
    expected = ["é text", "bytes é", "split é", "more", "x" * 20_000, "a view", "a", "b", ""]
    assert lines == expected
    # Python itself writes what its text layer holds after bytes that came later.
    assert sorted(raw.getvalue().decode()) == sorted("\n".join(["before the hook", *expected]) + "after\n")


def test_a_text_through_several_hooks_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    ours = stdout.write
    stdout.write = lambda text: ours(text.upper())  # type: ignore[method-assign]
    renew_hooks()
    stdout.write("a")
    renew_hooks()
    stdout.write("b")
    stdout.flush()
    end()
    stdout.write("c")
    assert (heard, _written(stdout)) == (["A", "B"], "ABC")


def test_a_text_that_can_not_be_encoded_is_not_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _stdout(monkeypatch)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    with pytest.raises(UnicodeEncodeError):
        stdout.write("é")
    stdout.write("a")
    notify("a notice")
    stdout.buffer.write(b"b")
    end()
    assert heard == ["a", "b"]


def test_texts_that_arrive_in_another_form_do_not_disturb_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\r\n", line_buffering=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    stdout.write("first\n")
    stdout.reconfigure(newline="\n")
    stdout.write("second\n")
    end()
    assert heard.count("second\n") == 1


def test_a_signal_handler_that_prints_is_heard_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    write = stdout.buffer.write
    prints = ["handler\n"]

    def interrupted(data: Any) -> int:
        while prints:
            sys.stdout.write(prints.pop())
        return write(data)

    stdout.buffer.write = interrupted  # type: ignore[method-assign]
    sys.stdout.write("text\n")
    end()
    assert sorted(heard) == ["handler\n", "text\n"]
    assert sorted(raw.getvalue().decode().splitlines()) == ["handler", "text"]


def test_a_forked_child_flushes_nothing_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        stdout = io.TextIOWrapper(file, encoding="utf-8")
        monkeypatch.setattr(sys, "stdout", stdout)
        heard: list[str] = []
        end = hook_stream("stdout", lambda _, text: heard.append(text))
        stdout.write("pending\n")
        child = os.fork()
        if child == 0:
            end()
            hook_stream("stdout", lambda _, text: heard.append(text))
            stdout.write("of the child\n")
            stdout.flush()
            os._exit(len(heard))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        stdout.flush()
        end()
        stdout.detach()
    # Python's own buffer: what the parent had not flushed is in the child's, too.
    assert sorted((tmp_path / "out").read_text().splitlines()) == ["of the child", "pending", "pending"]


def test_threads_that_print_are_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stdout)
    heard: list[str] = []
    end = hook_stream("stdout", lambda _, text: heard.append(text))
    threads = [Thread(target=lambda: [stdout.write("line\n") for _ in range(2_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stdout.flush()
    end()
    assert "".join(heard).count("line\n") == 8_000
