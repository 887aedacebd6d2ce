"""The logging configuration of all processes, for structlog and the standard library, with a background writer thread.

Lines are JSON unless the stream is a terminal. One background thread renders and writes records, so that a slow
terminal, a full pipe or a long traceback never blocks the caller. The thread's queue is bounded: if it is full, records
are dropped, and the next line reports their number (`log_records_dropped`). Tracebacks contain files, lines and
functions, never the values of local variables.
"""

from __future__ import annotations

import atexit
import json
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

RECORDS_MAX: Final = 10_000
"""Capacity of the queue; with values of at most VALUE_CHARS characters, it takes some 40 MB."""

VALUE_CHARS: Final = 4_000
"""Characters of one value in a line."""

_TRACEBACK_CHARS: Final = 16_000
_FRAMES: Final = 30
_EXCEPTION: Final = ("exception", "exc_info")
_FLUSH_SECONDS: Final = 2.0
CHATTY: Final[Mapping[str, int]] = {
    **dict.fromkeys(("aiokafka", "asyncio", "botocore", "httpx", "uvicorn"), logging.WARNING),
    **dict.fromkeys(("clickhouse_connect", "urllib3"), logging.ERROR),
}
"""Libraries that log each connection, or each failed attempt that the services log themselves, and their levels."""

_current: BackgroundHandler | None = None


class BackgroundHandler(logging.Handler):
    """Passes records to a thread that formats and writes them; `emit` never blocks."""

    def __init__(self, stream: TextIO, records_max: int = RECORDS_MAX) -> None:
        super().__init__()
        self.dropped = 0
        self._reported = 0
        self._stream = stream
        self._records: queue.Queue[logging.LogRecord | None] = queue.Queue(records_max)
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Enqueue a record. No lock is needed: threads may call it concurrently."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Enqueue a record, or count it as dropped."""
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write the queued records, for some seconds at most, and end the thread."""
        if self._thread.is_alive():
            try:
                self._records.put(None, timeout=_FLUSH_SECONDS)
            except queue.Full:
                pass
            else:
                self._thread.join(_FLUSH_SECONDS)
        super().close()

    def _write_all(self) -> None:
        while (record := self._records.get()) is not None:
            self._write(record)
            self._report_dropped()
        self._report_dropped()

    def _report_dropped(self) -> None:
        count = self.dropped - self._reported
        if not count:
            return
        self._reported += count
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        event = {"event": "log_records_dropped", "count": count, "level": "warning", "timestamp": now}
        # A record as structlog passes it to its formatter. It bypasses the queue, where it could be dropped itself.
        self._write(logging.makeLogRecord({"msg": event, "_logger": None, "_name": "warning"}))

    def _write(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace").decode()
        except Exception:
            # A value whose `repr` fails loses its record but must not end the thread.
            self.dropped += 1
            return
        # If the stream is closed, the error can't be reported anywhere.
        with suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()


def configure_logging(level: str = "info", stream: TextIO | None = None) -> BackgroundHandler:
    """Configure structlog and the standard library to log from `level` on to a stream, by default standard error.

    Another call replaces the configuration.
    """
    global _current
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = BackgroundHandler(stream)
    handler.setFormatter(_formatter(terminal=stream.isatty()))
    root = logging.getLogger()
    if _current is not None:
        root.removeHandler(_current)
        _current.close()
    root.addHandler(handler)
    root.setLevel(number)
    for name, least in CHATTY.items():
        logging.getLogger(name).setLevel(max(number, least))
    own = logging.Logger("stepwell", number)
    own.addHandler(handler)
    structlog.configure(
        processors=[
            *_COMMON,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=lambda *_: own,
        wrapper_class=structlog.make_filtering_bound_logger(number),
    )
    if _current is None:
        atexit.register(_close_current)
    _current = handler
    return handler


def _close_current() -> None:
    if _current is not None:
        _current.close()


def _formatter(*, terminal: bool) -> ProcessorFormatter:
    if terminal:
        rendering: list[Processor] = [
            _cut_values,
            _printable,
            structlog.dev.ConsoleRenderer(exception_formatter=_below),
        ]
    else:
        rendering = [_render_exception, _cut_values, structlog.processors.JSONRenderer(serializer=_json)]
    return ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_COMMON, _time_of_record],
        processors=[ProcessorFormatter.remove_processors_meta, *rendering],
    )


def _below(stream: TextIO, error: ExcInfo) -> None:
    stream.write(f"\n{plain_traceback(error)}")


def _keep_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info=True` by the exception, since another thread renders it."""
    error = event.get("exc_info")
    if error is True:
        event["exc_info"] = sys.exc_info()
    elif isinstance(error, BaseException):
        event["exc_info"] = (type(error), error, error.__traceback__)
    return event


def _time_of_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    created = datetime.fromtimestamp(event["_record"].created, UTC)
    event["timestamp"] = created.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event


_COMMON: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    _keep_exception,
]


def _render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error and error[1] is not None:
        event["exception"] = plain_traceback(error)
    return event


def plain_traceback(error: ExcInfo | tuple[None, None, None]) -> str:
    """Format a traceback without values of local variables; if it is too long, return its end, which has the error."""
    kind, value, trace = cast("tuple[type[BaseException], BaseException, TracebackType | None]", error)
    described = traceback.TracebackException(kind, value, trace, limit=-_FRAMES, compact=True)
    text = "".join(described.format()).rstrip()
    return text if len(text) <= _TRACEBACK_CHARS else f"…{text[-_TRACEBACK_CHARS:]}"


def _cut_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: value if name in _EXCEPTION else _cut(value) for name, value in event.items()}


def _cut(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}… ({len(text):,} characters)"


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape terminal control sequences, since values include names chosen by users."""
    return {
        name: repr(value) if isinstance(value, str) and not value.isprintable() else value
        for name, value in event.items()
    }


def _json(event: EventDict, **options: Any) -> str:
    return json.dumps(event, **{**options, "default": repr})
