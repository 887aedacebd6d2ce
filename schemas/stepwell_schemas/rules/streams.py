"""Side streams of a run: rows that the SDK logs by itself, namely system metrics and console lines.

They are ordinary points of separate writers, so that each stream counts its own steps. The stream is part of the
writer's name: `//system` and `//console` belong to a run's only writer, `rank1//system` to the writer `rank1`. Rows of
such writers neither advance the run's last step nor count among its rows and points. The stream is in the name and not
in a field of the event, since ingestors of earlier versions can't read a changed schema.
"""

from __future__ import annotations

from typing import Final

from stepwell_schemas.rules.writers import FIRST_RANK, UNNAMED

DEFAULT: Final = ""
"""The run's own rows."""

SYSTEM: Final = "system"
CONSOLE: Final = "console"
STREAMS: Final = (SYSTEM, CONSOLE)

_MARK: Final = "//"


def stream_writer(writer: str, stream: str) -> str:
    """Return the writer name for a side stream of `writer`."""
    return f"{writer}{_MARK}{stream}"


def parse_stream(writer: str) -> str:
    """Return the stream in a writer's name, DEFAULT for the run's own rows."""
    _, mark, stream = writer.rpartition(_MARK)
    return stream if mark and stream in STREAMS else DEFAULT


def main_writer(writer: str) -> str:
    """Return the writer whose side stream `writer` is; the writer itself if it is none."""
    return writer.rpartition(_MARK)[0] if parse_stream(writer) else writer


def series_writer(writer: str) -> str:
    """Return the writer that a series of `writer` is stored under: none for a side stream, whose keys have its name."""
    return UNNAMED if parse_stream(writer) else writer


def stream_key(writer: str, stream: str, name: str) -> str:
    """Return the key of a stream's metric: `system/cpu`, or `system/rank1/cpu` for a named writer but the first rank.

    All writers of a run count steps from 0, so that a shared key would mix their values at each step. In most jobs the
    first rank is the only one that logs: its run has the keys of a run with one process.
    """
    return f"{stream}/{name}" if writer in {UNNAMED, FIRST_RANK} else f"{stream}/{writer}/{name}"
