"""The services' logging for the duration of a block, with the previous configuration restored after it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from stepwell_schemas import logs
from stepwell_schemas.logs import BackgroundHandler, configure_logging


@contextmanager
def logging_to(stream: io.StringIO, level: str = "info") -> Iterator[BackgroundHandler]:
    """Write the log of the block to a stream; close the handler to flush it."""
    root = logging.getLogger()
    named = [root, *(logging.getLogger(name) for name in logs.CHATTY)]
    levels = [logger.level for logger in named]
    configured = structlog.get_config()
    handler = configure_logging(level, stream)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        handler.close()
        logs._current = None
        structlog.configure(**configured)
        for logger, before in zip(named, levels, strict=True):
            logger.setLevel(before)


@contextmanager
def warnings_alone() -> Iterator[None]:
    """Log warnings and errors alone, for a block whose output is captured or measured."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        structlog.configure(**configured)
