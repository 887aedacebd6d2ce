"""Log lines are rendered by another thread, without local variables, and never block the caller."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from typing import Any

import pytest
import structlog

from stepwell_schemas.logs import VALUE_CHARS, BackgroundHandler, plain_traceback
from support.readers.logs import logging_to


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Stuck(io.StringIO):
    """A pipe that is not read until `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.released.wait(30)
        return super().write(text)


class Huge:
    """A value whose `repr` takes very long."""

    shown = 0

    def __repr__(self) -> str:
        type(self).shown += 1
        time.sleep(30)
        return "huge"


def lines(stream: io.StringIO, handler: BackgroundHandler) -> list[dict[str, Any]]:
    handler.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(value: object) -> None:
    kept = value
    raise ValueError(f"no {type(kept).__name__}")


def test_structlog_and_the_standard_library_write_the_same_lines() -> None:
    stream = io.StringIO()
    with logging_to(stream) as handler:
        structlog.get_logger("one").info("flushed", rows=3)
        structlog.get_logger("one").debug("left_out")
        logging.getLogger("other").warning("took %s s", 5)
        logging.getLogger("aiokafka.conn").info("left out")
        first, second = lines(stream, handler)
        assert (first["event"], first["rows"], first["level"]) == ("flushed", 3, "info")
        assert (second["event"], second["logger"], second["level"]) == ("took 5 s", "other", "warning")
        assert first["timestamp"][-1] == second["timestamp"][-1] == "Z"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_an_exception_is_logged_without_its_locals(stream: io.StringIO) -> None:
    with logging_to(stream) as handler:
        began = time.monotonic()
        for log in (structlog.get_logger().exception, logging.getLogger("x").exception):
            try:
                fail(Huge())
            except ValueError:
                log("failed")
        assert time.monotonic() - began < 5
        handler.close()
        assert Huge.shown == 0
        assert stream.getvalue().count("ValueError: no Huge") == 2
        assert stream.getvalue().count("in fail") == 2


def test_what_can_not_be_rendered_costs_its_own_line_alone() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("broken")

    stream = io.StringIO()
    with logging_to(stream) as handler:
        log = structlog.get_logger()
        log.info("lost", value=Broken())
        log.info("kept", text="\ud800", long="x" * 100_000)
        found = {line["event"]: line for line in lines(stream, handler)}
        assert "lost" not in found
        assert len(found["kept"]["long"]) < VALUE_CHARS + 100
        assert found["log_records_dropped"]["count"] == 1


def test_a_stream_that_nobody_reads_holds_up_no_caller() -> None:
    stream = Stuck()
    handler = BackgroundHandler(stream, records_max=10)
    record = logging.makeLogRecord({"msg": "x"})
    handler.handle(record)
    assert stream.reached.wait(30)
    for _ in range(1_000):
        handler.handle(record)
    assert handler.dropped == 990
    stream.released.set()
    handler.close()
    assert stream.getvalue().count("x\n") == 11


def test_a_terminal_is_sent_no_control_characters() -> None:
    stream = Terminal()
    with logging_to(stream) as handler:
        structlog.get_logger().info("asked", path="/\x1b]0;title\x07\n{}")
        handler.close()
        assert "\x07" not in stream.getvalue()
        assert stream.getvalue().count("\n") == 1


def test_a_traceback_is_bounded_and_ends_with_the_error() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("y" * 100_000 + "the end")

    try:
        deep(500)
    except ValueError as error:
        text = plain_traceback((type(error), error, error.__traceback__))
    assert len(text) < 20_000
    assert text.endswith("the end")
