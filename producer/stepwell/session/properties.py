"""Attributes of a run, with wandb's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepwell.session.open import make_files_folder
from stepwell.session.spec import RunSpec
from stepwell.values.metadata import parse_tags, parse_text
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.journal.journal import Journal
    from stepwell.recording.row_writer import RowWriter
    from stepwell.recording.summary import Summary
    from stepwell.session.config import Config
    from stepwell.session.receipt import Receipt
    from stepwell.settings import ProducerSettings


class RunProperties(ABC):
    """The attributes of a run; changes to `name`, `notes` and `tags` are sent immediately."""

    _spec: RunSpec
    _journal: Journal
    _rows: RowWriter
    _config: Config
    _summary: Summary
    _receipt: Receipt | None
    _name: str
    _notes: str
    _tags: tuple[str, ...]
    _settings: ProducerSettings
    _folder: Path | None = None

    @abstractmethod
    def _write_event(self, event: str, **fields: Any) -> None:
        """Write an event to the journal. Raises: UsageError if the run is finished."""

    @property
    def finished(self) -> bool:
        """Return whether `finish()` was called."""
        return self._receipt is not None

    @property
    def config(self) -> Config:
        """The run's configuration."""
        return self._config

    @property
    def summary(self) -> Summary:
        """Each metric's last value, or the summary that `define_metric` requests."""
        return self._summary

    @property
    def step(self) -> int:
        """The step of the next `log()`."""
        return self._rows.current

    @property
    def starting_step(self) -> int:
        """The first step of this session; above 0 after a resume."""
        return self._spec.first_step

    @property
    def id(self) -> str:
        """The run's id."""
        return self._spec.path.run_id

    @property
    def entity(self) -> str:
        """The entity that the run belongs to."""
        return self._spec.path.entity

    @property
    def project(self) -> str:
        """The run's project."""
        return self._spec.path.project

    @property
    def path(self) -> str:
        """`entity/project/run_id`."""
        return str(self._spec.path)

    @property
    def run_path(self) -> RunPath:
        """The path as its parts."""
        return self._spec.path

    @property
    def writer(self) -> str:
        """The name of this process among the run's writers."""
        return self._spec.writer

    @property
    def name(self) -> str:
        """The display name."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = parse_text("name", value)
        self._write_event("RunUpdated", display_name=self._name)

    @property
    def notes(self) -> str:
        """The notes."""
        return self._notes

    @notes.setter
    def notes(self, value: str) -> None:
        self._notes = parse_text("notes", value)
        self._write_event("RunUpdated", notes=self._notes)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, values: Any) -> None:
        self._tags = parse_tags(values)
        self._write_event("RunUpdated", tags=list(self._tags))

    @property
    def group(self) -> str:
        """The run's group."""
        return self._spec.group or self._spec.known.group

    @property
    def job_type(self) -> str:
        """The run's job type."""
        return self._spec.job_type or self._spec.known.job_type

    @property
    def resumed(self) -> bool:
        """Return whether this session continues an earlier run."""
        return self._spec.resumed

    @property
    def dir(self) -> str:
        """A folder for the script's own files of this run, created on first access; its files are not sent."""
        if self._folder is None:
            self._folder = make_files_folder(None if self.disabled else self._settings.dir, self._spec.path)
        return str(self._folder)

    @property
    def session(self) -> str:
        """The random id of this session."""
        return self._journal.info.session

    @property
    def journal_path(self) -> str:
        """The journal of this session: a folder."""
        return str(self._journal.path)

    @property
    def forked(self) -> bool:
        """Return whether this is the session of a forked child in its parent's run."""
        return self._spec.forked

    @property
    def offline(self) -> bool:
        """Return whether the run is offline: nothing is sent during it."""
        return self._spec.mode == "offline"

    @property
    def disabled(self) -> bool:
        """Return whether the run is disabled: nothing is recorded."""
        return self._spec.mode == "disabled"

    @property
    def settings(self) -> ProducerSettings:
        """The settings of this session."""
        return self._settings

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps."""
        return None

    @property
    def sweep_url(self) -> None:
        """None: there are no sweeps."""
        return None

    @property
    def project_url(self) -> str:
        """The URL of the project's page."""
        return self.url.rpartition("/")[0]

    @property
    def url(self) -> str:
        """The URL of the run's page."""
        return self._spec.url

    def get_url(self) -> str:
        """Return the URL of the run's page; wandb's earlier name."""
        return self.url

    def get_project_url(self) -> str:
        """Return the URL of the project's page; wandb's earlier name."""
        return self.project_url

    def get_sweep_url(self) -> str | None:
        """Return None: there are no sweeps."""
        return self.sweep_url

    def project_name(self) -> str:
        """Return the run's project; wandb's earlier name."""
        return self.project
