"""Ask the service, from time to time, whether the run is to stop or was deleted, or its writer's name is in use twice.

A thread sends one small request for the session's account, which `finish()` reads, too. Failures never disturb the
training: they are ignored, and make the next request later.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from stepwell.delivery.stored_content import is_deleted
from stepwell.imports import importing
from stepwell.service_requests import client_options, session_url

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings
    from stepwell_schemas.rules.identifiers import RunPath

_SPREAD: Final = 0.25
"""Each wait is shorter or longer by up to this part of it, so that the runs of a cluster do not ask together."""

_MOST_WAITS: Final = 8
_ASK_SECONDS: Final = 5.0
_GONE: Final = 410


class StopRequests:
    """The thread of one session; `requested` and `deleted` are what the service said last."""

    def __init__(
        self,
        settings: ProducerSettings,
        run: RunPath,
        session: str,
        on_stop: Callable[[], None],
        on_deletion: Callable[[], None],
        on_shared_writer: Callable[[], None],
    ) -> None:
        """Take what to do, once each: when the run is to stop, when it was deleted, if another process has the name."""
        self._settings = settings
        self._run = run
        self._session = session
        self._on_stop = on_stop
        self._on_deletion = on_deletion
        self._on_shared_writer = on_shared_writer
        self._ended = threading.Event()
        self.requested = False
        self.deleted = False
        self._shared = False

    def start(self) -> None:
        """Start to ask, unless that is turned off, or the system gives no thread."""
        if self._settings.stop_poll_seconds:
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._run_thread, name="stepwell-stop-requests", daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def take(self, status: int, body: Any) -> None:
        """Take an answer of the service."""
        if status == _GONE and is_deleted(body):
            if not self.deleted:
                self._on_deletion()
                self.deleted = True
            self.end()
            return
        answer = body if isinstance(body, dict) else {}
        if answer.get("stop_requested") is True and not self.requested:
            # A script that sees the flag may rely on what the request does to its next `log()`.
            self._on_stop()
            self.requested = True
        if answer.get("writer_shared") is True:
            self.take_shared_writer()

    def take_shared_writer(self) -> None:
        """Take that another process logs under the name of this session's writer."""
        if not self._shared:
            self._shared = True
            self._on_shared_writer()

    def _run_thread(self) -> None:
        waits = 1
        while not self._ended.wait(self._settings.stop_poll_seconds * waits * random.uniform(1 - _SPREAD, 1 + _SPREAD)):  # noqa: S311
            waits = min(2 * waits, _MOST_WAITS)
            # Whatever fails here, in a network or at the end of the interpreter, is no concern of the training.
            with contextlib.suppress(Exception):
                self._ask()
                waits = 1

    def _ask(self) -> None:
        with importing():
            import httpx

        url = session_url(self._settings.base_url, self._run, self._session)
        response = httpx.get(url, timeout=_ASK_SECONDS, **client_options(self._settings))
        if not self._ended.is_set():
            self.take(response.status_code, response.json())
