"""Decision of a run's name, metadata and state among the ranks that log to it.

Rank 0 decides. The starts of other ranks carry their config, which is merged, and nothing else that describes the run,
and their ends do not end it. In a job in which another rank is the only one that logs, that rank decides: it sends its
description some seconds after its start, or at its end, if no session has described the run by then. `client` in the
run's document says which session did: a rank that stands in adds its writer's name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from stepwell.errors import StepwellError
from stepwell.session.ingest_status import wait_until_ingested
from stepwell.session.launch import Launch
from stepwell.session.open import open_folders
from stepwell.session.spec import RunSpec
from stepwell.session.stored_run import open_api

if TYPE_CHECKING:
    from stepwell.journal.journal import Journal
    from stepwell.settings import ProducerSettings

_STAND_IN_SECONDS: Final = 10.0
"""Time after which a rank looks for the first time whether any session has described the run."""

_ASK_SECONDS: Final = 5.0
_INGEST_SECONDS: Final = 10.0

SendStart = Callable[[dict[str, Any]], None]


def stand_in_client(spec: RunSpec) -> str:
    """Return the client in the description that a rank other than 0 sends."""
    return f"{spec.client} ({spec.writer})"


def decides(client: str | None, spec: RunSpec) -> bool:
    """Return whether a rank other than 0 decides, given the client that has described the run.

    Args:
        client: "" if no session has described the run; None if that is unknown, so that nothing is decided.
    """
    return client is not None and client in {"", stand_in_client(spec)}


class Primacy:
    """Decision of this session on its run's description and end."""

    def __init__(self, spec: RunSpec, settings: ProducerSettings, journal: Journal, send: SendStart) -> None:
        self._spec = spec
        self._settings = settings
        self._journal = journal
        self._send = send
        self._lock = threading.Lock()
        self._stands_in = spec.primary
        self._pid = os.getpid()
        self._timer = threading.Timer(_STAND_IN_SECONDS, self._look)
        self._timer.daemon = True

    def start(self) -> None:
        """Look once whether another session has described the run, in some seconds."""
        if not self._spec.primary and self._spec.mode == "online":
            with contextlib.suppress(RuntimeError):  # the thread limit is reached: its end looks
                self._timer.start()

    def ends_run(self, seconds: float) -> bool:
        """Return whether the end of this session ends the run; send the description before, if it is missing.

        Waits at most `seconds` for the ingestor: all events of a run are in one partition, so that what others sent
        before this session's events is stored with them.
        """
        if self._spec.primary:
            return True
        self._timer.cancel()
        if self._spec.mode == "online":
            wait = min(seconds / 2, _INGEST_SECONDS)
            wait_until_ingested(
                self._settings, self._spec.path, self._journal.info.session, self._journal.sequence, wait
            )
        return self._stand_in()

    def stop(self) -> None:
        """Never look again."""
        if self._pid == os.getpid():
            self._timer.cancel()

    def _look(self) -> None:
        # The run may have finished in the meantime, or its service may not be reachable: its end looks again.
        with contextlib.suppress(StepwellError):
            self._stand_in()

    def _stand_in(self) -> bool:
        with self._lock:
            if not decides(self._find_client(), self._spec):
                return False
            if not self._stands_in:
                self._stands_in = True
                self._send({**self._spec.describe(), "client": stand_in_client(self._spec)})
            return True

    def _find_client(self) -> str | None:
        """Return the client that has described the run; None if rank 0 has a journal here, or if it is unknown."""
        first = Launch(0, self._spec.launch.world_size).writer
        entries = open_folders(self._settings).find_run(self._spec.path)
        if any(entry.info.writer == first for entry in entries):
            return None
        if self._spec.mode != "online":
            return stand_in_client(self._spec) if self._stands_in else ""
        return _fetch_client(self._spec, self._settings)


def _fetch_client(spec: RunSpec, settings: ProducerSettings) -> str | None:
    try:
        return str(open_api(settings, _ASK_SECONDS).run(spec.path).info.get("client") or "")
    except StepwellError:
        return None
