"""Streams beside a run's own rows: what the SDK logs by itself, the system metrics and the console's lines.

They are ordinary points, written by writers of their own, so that each has its own count of steps. A writer's name
tells its stream: `//system` and `//console` are those of a run's only writer, `rank1//system` is that of `rank1`. Rows
of such writers neither move the run's last step nor count among its rows and points. The name tells it, and not a
field of the event, since a changed schema would shut out every ingestor of an earlier version.
"""

from __future__ import annotations

from typing import Final

DEFAULT: Final = ""
"""The run's own rows."""

SYSTEM: Final = "system"
CONSOLE: Final = "console"
STREAMS: Final = (SYSTEM, CONSOLE)

_MARK: Final = "//"


def stream_writer(writer: str, stream: str) -> str:
    """Return the name under which `writer` writes the rows of a stream beside its own."""
    return f"{writer}{_MARK}{stream}"


def stream_of(writer: str) -> str:
    """Return the stream that a writer writes, DEFAULT for the run's own rows."""
    _, mark, stream = writer.rpartition(_MARK)
    return stream if mark and stream in STREAMS else DEFAULT


def stream_key(writer: str, stream: str, name: str) -> str:
    """Return the key of a stream's metric: `system/cpu`, or `system/rank1/cpu` where the writer has a name.

    Writers of one run count their steps alike, so that one key would take the values of all of them at each step.
    """
    return f"{stream}/{writer}/{name}" if writer else f"{stream}/{name}"
