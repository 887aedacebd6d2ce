"""What a run says of itself: its attributes, with wandb's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stepwell.session.open import files_folder
from stepwell.session.spec import Plan
from stepwell.values.metadata import tags_of, text_of
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.journal.journal import Journal
    from stepwell.recording.row_writer import RowLog
    from stepwell.recording.summary import Summary
    from stepwell.session.config import Config
    from stepwell.session.receipt import Receipt
    from stepwell.settings import ProducerSettings


class RunView(ABC):
    """The attributes of a run; those that can be set are sent as they are."""

    _plan: Plan
    _journal: Journal
    _rows: RowLog
    _config: Config
    _summary: Summary
    _receipt: Receipt | None
    _name: str
    _notes: str
    _tags: tuple[str, ...]
    _settings: ProducerSettings
    _folder: Path | None = None

    @abstractmethod
    def _event(self, event: str, **fields: Any) -> None:
        """Write an event to the journal. Raises: UsageError when the run is finished."""

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
        """A folder for the script's own files of this run, made when first asked for; nothing in it is sent."""
        if self._folder is None:
            self._folder = files_folder(None if self.disabled else self._settings.dir, self._plan.path)
        return str(self._folder)

    @property
    def journal_path(self) -> str:
        """The journal file of this session."""
        return str(self._journal.path)

    @property
    def forked(self) -> bool:
        """Whether this is a forked child's part of its parent's run."""
        return self._plan.forked

    @property
    def offline(self) -> bool:
        """Whether nothing is sent while the run goes on."""
        return self._plan.mode == "offline"

    @property
    def disabled(self) -> bool:
        """Whether nothing is kept at all."""
        return self._plan.mode == "disabled"

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
        """Where the service shows the project."""
        return self.url.rpartition("/")[0]

    @property
    def url(self) -> str:
        """Where the service shows the run."""
        return f"{self._plan.base_url}/{quote(str(self.path))}"
