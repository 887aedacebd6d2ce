"""Export of one run to one file: receives the missing rows, then moves the complete file into place atomically."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from stepwell.api.paths import run_url
from stepwell.api.rows import removed_to
from stepwell_deploy.errors import ExportError, ServiceLostError
from stepwell_deploy.export.request import MEDIA_TYPES, ExportFormat, ExportRequest, Position, RowShape
from stepwell_deploy.export.spool import ChangedError, Spool, spool_for
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.rules.identifiers import RunPath

_ATTEMPTS: Final = 6
_PAUSE_SECONDS: Final = 0.5


class ListedRun(NamedTuple):
    """A run to export, as listed by the service: the Kafka offset up to which it is stored, and its rows and values."""

    path: RunPath
    offset: int
    rows: int
    points: int


@dataclass(frozen=True, slots=True)
class Target:
    """Path of a run's file, and the folder for received parts and status; the folder remains afterwards if `kept`."""

    file: Path
    work: Path
    kept: bool = True


@dataclass(frozen=True, slots=True)
class _State:
    """Status of a run's export: its request, the offset up to which the rows are complete, and if it is finished."""

    request: dict[str, Any]
    offset: int
    done: bool

    @classmethod
    def read(cls, work: Path) -> _State | None:
        """Return the status that an earlier export left; None if it has none that can be used."""
        try:
            return cls(**json.loads((work / "state.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, work: Path) -> None:
        fresh = work / "state.json.new"
        fresh.write_text(json.dumps({"request": self.request, "offset": self.offset, "done": self.done}), "utf-8")
        fresh.replace(work / "state.json")


class Exported(NamedTuple):
    """The outcome for a run: `fresh`, unless its file was up to date already; the first step whose rows are complete.

    `raw_from` is None unless the project has removed older rows.
    """

    fresh: bool
    raw_from: int | None = None


def export_run(
    service: ServiceClient, run: ListedRun, request: ExportRequest, target: Target, on_rows: Callable[[int], None]
) -> Exported:
    """Export a run, and resume an interrupted export.

    `on_rows` is called with the number of received rows; an exception of it ends the export, which can be resumed.

    Raises:
        ServiceRefusedError: when the service refuses.
        ServiceLostError: when it can't be reached several times in a row.
        ExportError: when a file can't be written.
    """
    try:
        target.file.parent.mkdir(parents=True, exist_ok=True)
        target.work.mkdir(parents=True, exist_ok=True)
        return _Export(service, run, request, target, on_rows).run()
    except OSError as error:
        raise ExportError(f"{target.file} can't be written: {error}") from error


class _Export:
    def __init__(
        self,
        service: ServiceClient,
        run: ListedRun,
        request: ExportRequest,
        target: Target,
        on_rows: Callable[[int], None],
    ) -> None:
        self._service = service
        self._run = run
        self._request = request
        self._target = target
        self._on_rows = on_rows
        self._spool: Spool = spool_for(request, target.work / "parts")
        self._raw_from: int | None = None
        self._known = json.loads(json.dumps(request.as_json()))

    def run(self) -> Exported:
        state = _State.read(self._target.work)
        if state is None or state.request != self._known or state.done:
            if (
                state
                and state.request == self._known
                and state.offset == self._run.offset
                and self._target.file.exists()
            ):
                return Exported(False)
            self._spool.clear()
        offset = self._received()
        self._spool.finish(self._target.file)
        self._note(offset, done=True)
        self._spool.clear()
        if not self._target.kept:
            shutil.rmtree(self._target.work)
        return Exported(True, self._raw_from)

    def _received(self) -> int:
        """Receive all missing rows; return the offset up to which the rows are complete."""
        failures = 0
        while True:
            try:
                return self._receive()
            except ChangedError:
                self._spool.clear()
            except httpx.TransportError as error:
                failures += 1
                if failures == _ATTEMPTS:
                    again = "the received rows are kept: repeat the command to resume"
                    raise ServiceLostError(
                        f"the service's answer broke off {failures} times ({error!r}); {again}"
                    ) from error
                time.sleep(_PAUSE_SECONDS * 2 ** (failures - 1))

    def _receive(self) -> int:
        state, last = _State.read(self._target.work), self._spool.last()
        if state is None and last is not None:
            self._spool.clear()
            last = None
        behind = {} if state is None or last is None else {"cursor": last.cursor(state.offset)}
        fmt = self._request.received_as
        query = self._request.query(fmt, **behind)
        with self._service.stream(run_url(self._run.path, "scan"), MEDIA_TYPES[fmt], query) as answer:
            offset = int(answer.headers["stepwell-complete-to-offset"])
            self._raw_from = removed_to(answer)
            if state is not None and last is not None and offset != state.offset and self._grew(last, state.offset):
                # Received rows have changed; no row may be in a file twice.
                raise ChangedError
            self._note(offset, done=False)
            self._spool.receive(answer.iter_bytes(), self._on_rows)
        return offset

    def _grew(self, last: Position, offset: int) -> bool:
        """Return whether values were logged since `offset` at positions up to `last`."""
        if self._request.shape is RowShape.LONG:
            return True
        query = self._request.query(ExportFormat.NDJSON, cursor=last.cursor(offset)) | {"max_step": last.step}
        with self._service.stream(run_url(self._run.path, "scan"), MEDIA_TYPES[ExportFormat.NDJSON], query) as answer:
            return any(answer.iter_bytes())

    def _note(self, offset: int, *, done: bool) -> None:
        _State(self._known, offset, done).write(self._target.work)
