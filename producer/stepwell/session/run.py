"""`Run`: one session of a run, from `init()` to `finish()`."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stepwell.errors import JournalError, UsageError
from stepwell.journal.format import TAG_EVENT
from stepwell.recording.row_writer import RowWriter
from stepwell.recording.summary import Summary
from stepwell.session.alerts import Alerts, RunAlerts
from stepwell.session.artifacts import RunArtifacts
from stepwell.session.closing import close_session
from stepwell.session.config import Config
from stepwell.session.copies import restore_run
from stepwell.session.exits import End, end_by_exception, end_by_request, end_by_signal
from stepwell.session.ingest_status import IngestStatus, wait_until_ingested
from stepwell.session.node_claims import NodeClaims
from stepwell.session.open import SessionOutput
from stepwell.session.primacy import Primacy
from stepwell.session.receipt import Receipt
from stepwell.session.shown_run import ShownRun
from stepwell.session.side_streams import SideStreams
from stepwell.session.spec import FINISH_TIMEOUT_SECONDS, RunSpec
from stepwell.session.stoppable_run import StoppableRun
from stepwell.terminal import notify
from stepwell.values.metadata import MetadataReporter, split_mapping
from stepwell.wandb_compat import missing_run_attribute_message, stand_in

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

SessionOpener = Callable[[RunSpec], SessionOutput]


class Run(ShownRun, StoppableRun, RunAlerts, RunArtifacts):
    """A run that is being logged. Use it as a context manager, or call `finish()`.

    A forked child (a worker of a data loader) may log, too. Its first call opens a session of its own, with a writer
    name made from its process id, which starts at its parent's step at the fork. It does not end the run; its parent
    delivers the records that the child could not deliver before it exited.
    """

    def __init__(
        self, spec: RunSpec, settings: ProducerSettings, opener: SessionOpener, claims: NodeClaims | None = None
    ) -> None:
        """Open the session, write its first event, and start delivery. Raises: JournalError."""
        self._settings = settings
        self._opener = opener
        self._claims = claims
        self._journal, self._delivery = opener(spec)
        # Forked children continue the line.
        self._spec = spec._replace(lineage=self._journal.info.lineage)
        self._rows = RowWriter(self._journal, spec.first_step, spec.path.run_id, settings.media_max_bytes)
        self._restore_metrics()
        self._report_unstorable = MetadataReporter(spec.path.run_id, quiet=spec.mode == "disabled")
        self._config = Config(self._send_config, {**spec.known.config, **spec.config}, self._report_unstorable)
        self._summary = Summary(
            self._rows.last_values,
            self._send_summary,
            spec.known.by_hand,
            self._store_media,
            self._hide_metric,
            self._report_unstorable,
        )
        self._receipt: Receipt | None = None
        self._alerts = Alerts()
        self._tags = spec.tags or spec.known.tags
        self._name = spec.name or spec.known.name or spec.path.run_id
        self._notes = spec.notes or spec.known.notes
        self._inherited: Any = None
        self._kept_alive: Any = None
        self._begin_lock = threading.Lock()
        self.start_time = time.time()
        first, *others = split_mapping(spec.config, self._report_unstorable)
        self._write_event(
            "RunStarted",
            writer=spec.writer,
            config=first,
            # A rank's steps are compared with its own earlier ones: other ranks resume the run at the same time.
            resumed=spec.resumed and not spec.launch.parallel,
            pid=os.getpid(),
            **(spec.describe() if spec.primary else {}),
            lineage=self._spec.lineage,
            lineage_step=spec.lineage_step,
            predecessor=self._journal.info.predecessor,
            predecessor_sequence=self._journal.info.predecessor_sequence,
        )
        for values in others:
            self._write_event("RunUpdated", config=values)
        self._delivery.start()
        self._side_streams = SideStreams(spec, settings, self._journal, self._delivery, self._owns)
        self._side_streams.start()
        self._primacy = Primacy(spec, settings, self._journal, self._describe_run)
        self._primacy.start()
        self._watch_for_stop()
        self._show_in_notebook()

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one row of metrics; values are copied during the call.

        Args:
            data: metrics by key; nested dicts become `a.b` keys. `stepwell.values.convert` lists the conversions.
            step: the step to write at. Default: the current step, which is then incremented. A step below the
                current one is a conflict: the call is a row of its own, at the current step or after the row that has
                begun there, and the conflict is recorded.
            commit: False keeps the current step for more data; True increments it even after an explicit `step`.

        Never waits for the network and never raises a network error.

        Raises:
            TypeError: if `data` is no mapping. StepError: if `step` is no integer within ±2^62.
            UsageError: if the run is finished.
        """
        self._rows.log(data, step, commit)

    def finish(
        self, exit_code: int | None = None, quiet: bool | None = None, timeout: float = FINISH_TIMEOUT_SECONDS
    ) -> Receipt:
        """Finish the run: wait at most `timeout` seconds for delivery and ingestion, print and return the receipt.

        A second call returns the same receipt. In a forked child it ends the child's session, not the run. With an
        `exit_code` other than 0, the run's state is `failed`.
        """
        return self.end_as(end_by_request(exit_code), quiet, timeout)

    def end_as(
        self,
        end: End,
        quiet: bool | None = None,
        timeout: float = FINISH_TIMEOUT_SECONDS,
        error: BaseException | None = None,
    ) -> Receipt:
        """Finish the run with a state and exit code, as `finish()` does.

        Args:
            error: the exception that ends the run before Python prints it, for the run's console.
        """
        if self._receipt is not None:
            return self._receipt
        if self._inherited is not None:
            self._side_streams.stop()
            return Receipt(self.path)
        deadline = time.monotonic() + timeout
        self._stop_requests.end()
        journal, rows = self._journal, self._rows
        if error is not None and not self._spec.forked:
            self._side_streams.record_error(error)
        self._side_streams.stop()
        journal.stop_waiting()
        if not self._spec.forked and self._primacy.ends_run(deadline - time.monotonic()):
            self._write_end(end)
        rows.finish()
        journal.close()
        self._delivery.drain(timeout if self._spec.primary else max(deadline - time.monotonic(), 0.0))
        stored = self._wait_until_ingested(deadline - time.monotonic())
        if stored.stored is not None and stored.stored.writer_shared:
            # Of several ranks, only the primary one asks before its end.
            self._stop_requests.take_shared_writer()
        self._receipt = close_session(
            SessionOutput(journal, self._delivery), rows, self._side_streams, self._spec, stored
        )
        if self._claims is not None:
            self._claims.release()
        if self._display is not None:
            self._display.stop()
        if not (self._spec.quiet if quiet is None else quiet):
            notify(str(self._receipt))
        return self._receipt

    def drain(self, seconds: float) -> None:
        """Deliver what was logged, for at most `seconds`, before SIGTERM ends the process and with it the run."""
        if self._receipt is None and self._inherited is None:
            deadline = time.monotonic() + seconds
            self._primacy.stop()
            self._side_streams.stop()
            if self._spec.primary and not self._spec.forked:
                self._write_end(end_by_signal(signal.SIGTERM))
            self._delivery.drain(deadline - time.monotonic())

    def _wait_until_ingested(self, seconds: float) -> IngestStatus:
        delivered = self._journal.acknowledged.sequence
        if self._spec.mode != "online" or not delivered:
            return IngestStatus()
        return wait_until_ingested(self._settings, self._spec.path, self._journal.info.session, delivered, seconds)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a substitute for wandb's other methods; see `stepwell.wandb_compat`."""
            substitute = stand_in(name)
            if substitute is None:
                raise AttributeError(missing_run_attribute_message(name))
            return substitute

    def _write_event(self, event: str, **fields: Any) -> None:
        if self._receipt is not None:
            raise UsageError(
                f"{self.id}: the run is finished; call init() for another one, or with resume= to continue it"
            )
        if self._inherited is not None:
            self._start_child_session()
        self._journal.append_json(TAG_EVENT, {"event": event, "timestamp": time.time_ns() // 1000, **fields})

    def _write_end(self, end: End) -> None:
        self._write_event("RunFinished", exit_code=end.exit_code, state=end.state)

    def _describe_run(self, fields: dict[str, Any]) -> None:
        self._write_event("RunStarted", writer=self._spec.writer, pid=os.getpid(), **fields)

    def _owns(self, what: str) -> bool:
        return self._claims is None or self._claims.owns(what)

    def _send_config(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in split_mapping(values, self._report_unstorable):
            self._write_event("RunUpdated", config=part, config_remove=removed)

    def _send_summary(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in split_mapping(values, self._report_unstorable):
            self._write_event("RunUpdated", summary=part, summary_remove=removed)

    def _store_media(self, value: Any) -> Any:
        cell = self._rows.media_cell(value)
        return None if cell is None else json.loads(cell[1])

    def _hide_metric(self, key: str) -> None:
        self.define_metric(key, summary="none")

    def after_fork_in_parent(self) -> None:
        """In the parent: check for orphaned journals of children from now on."""
        self._delivery.expect_forks()

    def after_fork_in_child(self) -> None:
        """In a forked child: abandon the parent's journal, and start a session at the first call that logs."""
        self._journal.abandon_in_child()
        self._display = None
        self._side_streams.in_child(self._spec.for_forked_child(os.getpid(), self._rows.current))
        # State of the parent's threads, which don't exist here: referenced, so that no destructor closes it.
        self._inherited = (self._delivery, self._inherited)
        self._begin_lock = threading.Lock()
        self._rows.in_child(self._start_child_session)

    def _start_child_session(self) -> None:
        with self._begin_lock:
            if self._inherited is None:
                return
            spec = self._spec.for_forked_child(os.getpid(), self._rows.current)
            try:
                journal, delivery = self._opener(spec)
            except JournalError as error:
                notify(f"{self.id}: {error}: rows of process {os.getpid()} are dropped")
                journal, delivery = self._journal, self._delivery
            self._kept_alive, self._inherited = self._inherited, None
            self._spec, self._journal, self._delivery = spec, journal, delivery
            self._rows.switch_journal(journal)
            delivery.start()
            self._side_streams.start_child_session(delivery)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_as(end_by_exception(error), error=error)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return restore_run, (self.run_path, self.session)

    def __repr__(self) -> str:
        return f"<stepwell.Run {self.path}>"
