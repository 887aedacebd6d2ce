"""`Run`: one session of a run, from `init()` to `finish()`."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from stepwell.errors import JournalError, UsageError
from stepwell.journal.format import TAG_EVENT
from stepwell.recording.row_writer import RowLog
from stepwell.recording.summary import Metric, Summary, make_metric
from stepwell.session.alerts import AlertLevel, Alerts
from stepwell.session.config import Config
from stepwell.session.ingest_status import Stored, ask_stored
from stepwell.session.open import Opened
from stepwell.session.properties import RunView
from stepwell.session.receipt import Receipt
from stepwell.session.side_streams import STDERR, STDOUT, Beside
from stepwell.session.spec import FINISH_TIMEOUT_SECONDS, Plan
from stepwell.terminal import say
from stepwell.values.metadata import parts_of
from stepwell.wandb_compat import stand_in

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

State = Literal["finished", "failed", "crashed"]
Opener = Callable[[Plan], Opened]


class Run(RunView):
    """A run that is being logged. Use it as a context manager, or call `finish()`.

    A forked child (a data loader's worker) may log too: at its first call it gets a session of its own, as a writer
    named after its process, which begins at the step its parent had at the fork. It does not end the run; what it could
    not deliver itself before it ended, its parent delivers.
    """

    def __init__(self, plan: Plan, settings: ProducerSettings, opener: Opener) -> None:
        """Open the session, write its start, and begin to deliver. Raises: JournalError."""
        self._plan = plan
        self._settings = settings
        self._opener = opener
        self._journal, self._delivery = opener(plan)
        self._rows = RowLog(self._journal, plan.first_step, plan.path.run_id, settings.media_max_bytes)
        self._config = Config(self._send_config, plan.config)
        self._summary = Summary(self._rows.last_values, self._send_summary)
        self._receipt: Receipt | None = None
        self._metrics: dict[str, Metric] = {}
        self._alerts = Alerts()
        self._tags = tuple(plan.tags)
        self._name, self._notes = plan.name, plan.notes
        self._inherited: Any = None
        self._kept_alive: Any = None
        self._begin_lock = threading.Lock()
        self.start_time = time.time()
        first, *others = parts_of(self._config.as_dict(), self._refuse_description)
        self._event(
            "RunStarted",
            writer=plan.writer,
            display_name=plan.name,
            config=first,
            tags=list(plan.tags),
            notes=plan.notes,
            group=plan.group,
            job_type=plan.job_type,
            resumed=plan.resumed,
            client=plan.client,
            host=plan.host,
            pid=os.getpid(),
        )
        for values in others:
            self._event("RunUpdated", config=values)
        self._delivery.start()
        self._beside = Beside(plan, settings, self._journal, self._delivery)
        self._beside.start()

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one row of metrics; values are taken now.

        Args:
            data: metrics by key; nested dicts become `a.b` keys. `stepwell.values.convert` lists the conversions.
            step: the step to write at; default: the current one, which then moves on by one. A step below the
                current one is a conflict: the row is logged at the current step, and the conflict recorded.
            commit: False keeps the current step for more data; True moves on after an explicit `step` too.

        Never waits for a network and never raises for one.

        Raises:
            TypeError: when `data` is no mapping. StepError: when `step` is no integer within ±2^62.
            UsageError: when the run is finished.
        """
        self._rows.log(data, step, commit)

    def finish(
        self, exit_code: int | None = None, quiet: bool | None = None, timeout: float = FINISH_TIMEOUT_SECONDS
    ) -> Receipt:
        """End the run, wait at most `timeout` seconds until it is delivered and stored, and account for it in one line.

        A second call returns the same receipt. In a forked child it ends what the child logged, and not the run.
        """
        if self._receipt is not None:
            return self._receipt
        if self._inherited is not None:
            self._beside.stop()
            return Receipt(self.path)
        code = exit_code or 0
        deadline = time.monotonic() + timeout
        journal, rows = self._journal, self._rows
        self._beside.stop()
        journal.stop_waiting()
        if not self._plan.forked:
            self._event("RunFinished", exit_code=code, state="failed" if code else "finished")
        rows.finish()
        journal.close()
        self._delivery.drain(timeout)
        stored = self._ask_stored(deadline - time.monotonic())
        self._receipt = self._account(stored)
        if not (self._plan.quiet if quiet is None else quiet):
            say(str(self._receipt))
        return self._receipt

    def _ask_stored(self, seconds: float) -> Stored:
        delivered = self._journal.acknowledged.sequence
        if self._plan.mode != "online" or not delivered:
            return Stored()
        return ask_stored(self._settings, self._plan.path, self._journal.info.session, delivered, seconds)

    def _account(self, stored: Stored) -> Receipt:
        """Let go of the journal, which goes where it was delivered whole, and return the receipt."""
        journal, rows = self._journal, self._rows
        delivered = journal.acknowledged.sequence
        pending = journal.sequence - delivered
        error = self._delivery.error or journal.problem
        if journal.deleted:
            error = error or "the journal was deleted while the run went on"
            if pending or self._plan.keep_journal:
                try:
                    journal.save()
                except OSError as failed:
                    error = f"the journal was deleted and can't be written again: {failed.strerror}"
        elif not pending and not self._plan.keep_journal:
            with contextlib.suppress(OSError):
                journal.path.unlink(missing_ok=True)
        journal.release()
        beside = self._beside.account()
        if self._plan.auto_file:
            with contextlib.suppress(OSError):
                self._plan.auto_file.unlink(missing_ok=True)
        return Receipt(
            self.path,
            logged=rows.rows,
            points=rows.points,
            delivered=delivered,
            pending=pending,
            stored=stored.points,
            stored_note=stored.note,
            conflicts=rows.conflicts if stored.points is None else stored.conflicts,
            dead_letters=stored.dead_letters,
            rejected=rows.rejected,
            dropped=journal.dropped,
            recovered=self._delivery.recovered,
            lines_dropped=self._beside.lines_dropped,
            pending_beside=sum(account.pending for account in beside),
            journals_beside=tuple(account.journal for account in beside if account.journal is not None),
            journal=journal.path if journal.path.exists() else None,
            error=error,
        )

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        goal: str | None = None,
    ) -> Metric:
        """Say how a metric is drawn and summed up.

        A key's own definition goes before a pattern's, and of several patterns the one defined last holds.

        Args:
            name: a key, or a pattern such as `val/*`.
            step_metric: the key it is drawn against. hidden: not drawn by default.
            step_sync: add the newest value of `step_metric` to rows that lack it; the default, unless False.
            summary: one or more of min, max, mean, best, first, last, copy, none, separated by commas.
            overwrite: forget what earlier calls said of `name`; else what this call leaves out stays.
            goal: `minimize` or `maximize`, for `best`.

        Raises:
            KeyRuleError: for a name or step metric that can't be a key. ValueError: for an unknown summary or goal.
        """
        before = None if overwrite else self._metrics.get(name)
        metric = make_metric(name, step_metric, summary, goal, hidden, step_sync, before)
        self._metrics[name] = metric
        self._rows.define(metric)
        definition = {
            "name": name,
            "step_metric": metric.step_metric,
            "summary": ",".join(metric.summary) or None,
            "goal": metric.goal,
            "hidden": metric.hidden,
            "glob": metric.glob,
        }
        self._event("RunUpdated", metrics=[definition])
        return metric

    def alert(
        self, title: str, text: str = "", level: str | AlertLevel | None = None, wait_duration: Any = None
    ) -> None:
        """Say something that somebody should know: a line on stderr, kept with the run's console output.

        Args:
            title, text: what. level: INFO (default), WARN or ERROR.
            wait_duration: seconds, or a timedelta, for which further alerts of this title are left out; default: 60 s.

        Raises:
            ValueError: for another level. TypeError: for another wait.
        """
        line = self._alerts.line(time.monotonic(), str(title), str(text), level, wait_duration)
        if line and not self.disabled:
            say(f"{self.id}: {line}")
            self._beside.put(STDERR, f"{line}\n")

    def write_logs(self, text: str) -> None:
        """Add text to the run's console output, as if the script had printed it, and print nothing."""
        self._beside.put(STDOUT, text if text.endswith("\n") else f"{text}\n")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return what takes the place of wandb's further calls; see `stepwell.wandb_compat`."""
            found = stand_in(name)
            if found is None:
                raise AttributeError(f"a run has no attribute {name!r}")
            return found

    def _event(self, event: str, **fields: Any) -> None:
        if self._receipt is not None:
            raise UsageError(f"{self.id}: the run is finished; init() starts another, or goes on with resume=")
        if self._inherited is not None:
            self._begin_in_child()
        self._journal.append_json(TAG_EVENT, {"event": event, "timestamp": time.time_ns() // 1000, **fields})

    def _send_config(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in parts_of(values, self._refuse_description):
            self._event("RunUpdated", config=part, config_remove=removed)

    def _send_summary(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in parts_of(values, self._refuse_description):
            self._event("RunUpdated", summary=part, summary_remove=removed)

    def _refuse_description(self, key: str, rule: str) -> None:
        say(f"{self.id}: {key[:80]!r} of config or summary is not stored: {rule}")

    def after_fork(self) -> None:
        """In the parent: expect children to leave journals behind."""
        self._delivery.forked()

    def in_child(self) -> None:
        """In a forked child: leave the parent's journal alone, and begin a session at the first call that logs."""
        self._journal.abandon_in_child()
        self._beside.in_child(self._plan.in_child(os.getpid(), self._rows.current))
        # What the parent's threads hold was copied without them: kept, so that nothing closes it here.
        self._inherited = (self._delivery, self._inherited)
        self._begin_lock = threading.Lock()
        self._rows.in_child(self._begin_in_child)

    def _begin_in_child(self) -> None:
        with self._begin_lock:
            if self._inherited is None:
                return
            plan = self._plan.in_child(os.getpid(), self._rows.current)
            try:
                journal, delivery = self._opener(plan)
            except JournalError as error:
                say(f"{self.id}: {error}: what process {os.getpid()} logs is dropped")
                journal, delivery = self._journal, self._delivery
            self._kept_alive, self._inherited = self._inherited, None
            self._plan, self._journal, self._delivery = plan, journal, delivery
            self._rows.begin(journal)
            delivery.start()
            self._beside.begin_in_child(delivery)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended_well = error is None or (isinstance(error, SystemExit) and error.code in {None, 0})
        if error is not None and not isinstance(error, SystemExit) and self._receipt is None:
            self._beside.note(error)
        self.finish(exit_code=0 if ended_well else 1)

    def __repr__(self) -> str:
        return f"<stepwell.Run {self.path}>"
