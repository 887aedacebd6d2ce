"""`Run`: one session of a run, from `init()` to `finish()`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from stepwell.configuration import Config
from stepwell.descriptions import parts_of, tags_of, text_of
from stepwell.errors import UsageError
from stepwell.journal import TAG_EVENT, Journal
from stepwell.receipt import Receipt
from stepwell.rowlog import RowLog
from stepwell.summaries import Metric, Summary, make_metric
from stepwell.terminal import say
from stepwell_schemas.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.start import Plan

FINISH_TIMEOUT_SECONDS: Final = 60.0
State = Literal["finished", "failed", "crashed"]


class Delivery(Protocol):
    """Who delivers the journal while the run goes on: the sender, or nobody."""

    @property
    def error(self) -> str:
        """Why nothing is delivered now; "" when all is well."""

    def drain(self, timeout: float) -> None:
        """Deliver what is there, for at most `timeout` seconds, and stop."""


class Run:
    """A run that is being logged. Use it as a context manager, or call `finish()`.

    A forked child (a data loader's worker) that calls `log()` changes nothing: what it logs is dropped, with one
    warning; it may call `init()` for a run or writer of its own.
    """

    def __init__(self, plan: Plan, journal: Journal, delivery: Delivery) -> None:
        self._plan = plan
        self._journal = journal
        self._delivery = delivery
        self._rows = RowLog(journal, plan.first_step, plan.path.run_id)
        self._config = Config(self._send_config, plan.config)
        self._summary = Summary(self._rows.last_values, self._send_summary)
        self._receipt: Receipt | None = None
        self._metrics: dict[str, Metric] = {}
        self._tags = tuple(plan.tags)
        self._name, self._notes = plan.name, plan.notes
        self._pid = os.getpid()
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
            pid=self._pid,
        )
        for values in others:
            self._event("RunUpdated", config=values)

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one row of metrics; values are taken now.

        Args:
            data: metrics by key; nested dicts become `a.b` keys. See `stepwell.values` for what each value becomes.
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
        """End the run, wait at most `timeout` seconds for delivery, and account for it in one line.

        A second call returns the same receipt. In a forked child nothing happens.
        """
        if self._receipt is not None:
            return self._receipt
        code = exit_code or 0
        return self._finish("failed" if code else "finished", code, quiet, timeout)

    def _finish(self, state: State, code: int, quiet: bool | None, timeout: float) -> Receipt:
        if os.getpid() != self._pid:
            return Receipt(self.path)
        if self._receipt is not None:
            return self._receipt
        self._event("RunFinished", exit_code=code, state=state)
        journal, rows = self._journal, self._rows
        rows.finish()
        journal.close()
        self._delivery.drain(timeout)
        delivered = journal.acknowledged.sequence
        pending = journal.sequence - delivered
        if not pending and not self._plan.keep_journal:
            journal.path.unlink(missing_ok=True)
        if self._plan.auto_file:
            self._plan.auto_file.unlink(missing_ok=True)
        self._receipt = Receipt(
            self.path,
            logged=rows.rows,
            delivered=delivered,
            pending=pending,
            conflicts=rows.conflicts,
            rejected=rows.rejected,
            dropped=journal.dropped,
            journal=journal.path if journal.path.exists() else None,
            error=self._delivery.error,
        )
        if not (self._plan.quiet if quiet is None else quiet):
            say(str(self._receipt))
        return self._receipt

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,  # noqa: ARG002 - wandb's argument; x values are joined by step anyway
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,  # noqa: ARG002 - the newest definition always holds
        goal: str | None = None,
    ) -> Metric:
        """Say how a metric is drawn and summed up.

        Args:
            name: a key, or a glob such as `val/*`.
            step_metric: the key it is drawn against. hidden: not drawn by default.
            summary: one or more of min, max, mean, last, first, best, none, separated by commas.
            goal: `minimize` or `maximize`, for `best`.

        Raises:
            KeyRuleError: for a name or step metric that can't be a key. ValueError: for an unknown summary or goal.
        """
        metric = make_metric(name, step_metric, summary, goal, hidden)
        self._metrics[name] = metric
        self._rows.define(metric)
        definition = {
            "name": name,
            "step_metric": metric.step_metric,
            "summary": summary,
            "goal": metric.goal,
            "hidden": metric.hidden,
            "glob": metric.glob,
        }
        self._event("RunUpdated", metrics=[definition])
        return metric

    def _event(self, event: str, **fields: Any) -> None:
        if self._receipt is not None:
            raise UsageError(f"{self.id}: the run is finished; init() starts another, or goes on with resume=")
        self._journal.append_json(TAG_EVENT, {"event": event, "timestamp": time.time_ns() // 1000, **fields})

    def _send_config(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in parts_of(values, self._refuse_description):
            self._event("RunUpdated", config=part, config_remove=removed)

    def _send_summary(self, values: dict[str, Any], removed: list[str]) -> None:
        for part in parts_of(values, self._refuse_description):
            self._event("RunUpdated", summary=part, summary_remove=removed)

    def _refuse_description(self, key: str, rule: str) -> None:
        say(f"{self.id}: {key[:80]!r} of config or summary is not stored: {rule}")

    def abandon_in_child(self) -> None:
        """In a forked child: leave the parent's journal alone."""
        self._journal.abandon_in_child()
        self._rows.in_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended_well = error is None or (isinstance(error, SystemExit) and error.code in {None, 0})
        self.finish(exit_code=0 if ended_well else 1)

    def __repr__(self) -> str:
        return f"<stepwell.Run {self.path}>"

    @property
    def finished(self) -> bool:
        """Whether `finish()` was called."""
        return self._receipt is not None

    @property
    def config(self) -> Config:
        """What the run was configured with."""
        return self._config

    @property
    def summary(self) -> Summary:
        """Each metric's last value, or what `define_metric` says."""
        return self._summary

    @property
    def step(self) -> int:
        """The step that the next `log()` writes at."""
        return self._rows.current

    @property
    def starting_step(self) -> int:
        """The step at which this session began; above 0 after a resume."""
        return self._plan.first_step

    @property
    def id(self) -> str:
        """The run's id."""
        return self._plan.path.run_id

    @property
    def entity(self) -> str:
        """Who the run belongs to."""
        return self._plan.path.entity

    @property
    def project(self) -> str:
        """The run's project."""
        return self._plan.path.project

    @property
    def path(self) -> str:
        """`entity/project/run_id`."""
        return str(self._plan.path)

    @property
    def run_path(self) -> RunPath:
        """The path in its parts."""
        return self._plan.path

    @property
    def writer(self) -> str:
        """This process's name among the run's writers."""
        return self._plan.writer

    @property
    def name(self) -> str:
        """The display name."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = text_of("name", value)
        self._event("RunUpdated", display_name=self._name)

    @property
    def notes(self) -> str:
        """The notes."""
        return self._notes

    @notes.setter
    def notes(self, value: str) -> None:
        self._notes = text_of("notes", value)
        self._event("RunUpdated", notes=self._notes)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, values: Any) -> None:
        self._tags = tags_of(values)
        self._event("RunUpdated", tags=list(self._tags))

    @property
    def group(self) -> str:
        """The group of runs it belongs to."""
        return self._plan.group

    @property
    def job_type(self) -> str:
        """What kind of job it is."""
        return self._plan.job_type

    @property
    def resumed(self) -> bool:
        """Whether this session goes on with an earlier run."""
        return self._plan.resumed

    @property
    def dir(self) -> str:
        """The folder of the run's files."""
        return str(self._journal.path.parent.parent)

    @property
    def journal_path(self) -> str:
        """The journal file of this session."""
        return str(self._journal.path)

    @property
    def offline(self) -> bool:
        """Whether nothing is sent while the run goes on."""
        return self._plan.mode == "offline"

    @property
    def disabled(self) -> bool:
        """Whether nothing is kept at all."""
        return self._plan.mode == "disabled"

    @property
    def url(self) -> str:
        """Where the service shows the run."""
        return f"{self._plan.base_url}/runs/{self.path}"
