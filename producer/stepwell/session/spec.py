"""Specification of a session, built before anything is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from stepwell.delivery.orphans import fork_writer
from stepwell.session.known_run import KnownRun
from stepwell.session.launch import Launch
from stepwell.system.source_code import SourceCode
from stepwell.values.metadata import parse_text
from stepwell_schemas.rules.identifiers import RunPath

VERSION: Final = "0.1.0"
FINISH_TIMEOUT_SECONDS: Final = 60.0
Mode = Literal["online", "offline", "disabled"]


class RunSpec(NamedTuple):
    """The specification of a session of a run.

    Attributes:
        name, notes, tags, group, job_type, config: as they were given; what is empty keeps its stored value.
        known: what is known of the run that the session resumes.
        first_step: the step it starts at. auto_file: the file in which `resume="auto"` stores the run's path.
        lineage, lineage_step: see `JournalInfo`; "" begins a line.
        forked: whether it is the session of a forked child, which adds rows and neither starts nor ends the run.
        launch: the position among the ranks of a launch.
        primary: whether it decides the run's name, metadata and state. Other ranks add rows and config.
    """

    path: RunPath
    writer: str
    name: str
    notes: str
    tags: tuple[str, ...]
    group: str
    job_type: str
    config: dict[str, Any]
    mode: Mode
    base_url: str
    quiet: bool
    keep_journal: bool
    first_step: int = 0
    resumed: bool = False
    client: str = f"stepwell-python/{VERSION}"
    host: str = ""
    auto_file: Path | None = None
    forked: bool = False
    code: SourceCode = SourceCode()
    lineage: str = ""
    lineage_step: int = 0
    launch: Launch = Launch()
    primary: bool = True
    known: KnownRun = KnownRun()

    @property
    def url(self) -> str:
        """The URL of the run's page."""
        return f"{self.base_url}/{quote(str(self.path))}"

    def describe(self) -> dict[str, Any]:
        """Return the fields of `RunStarted` that describe the run."""
        return {
            "display_name": self.name,
            "tags": list(self.tags),
            "notes": self.notes,
            "group": self.group,
            "job_type": self.job_type,
            "client": self.client,
            "host": self.host,
            "program": parse_text("program", self.code.program),
            "git_commit": self.code.git_commit,
            "git_dirty": self.code.git_dirty,
        }

    def for_forked_child(self, pid: int, step: int) -> RunSpec:
        """Return the specification of a forked child's session, which starts at its parent's step."""
        return self._replace(
            writer=fork_writer(self.writer, pid), first_step=step, quiet=True, auto_file=None, forked=True
        )
