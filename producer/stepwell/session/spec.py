"""What a session of a run is to be, decided before anything is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from stepwell.delivery.orphans import fork_writer
from stepwell_schemas.rules.identifiers import RunPath

VERSION: Final = "0.1.0"
FINISH_TIMEOUT_SECONDS: Final = 60.0
Mode = Literal["online", "offline", "disabled"]


class Plan(NamedTuple):
    """What a session of a run is to be.

    Attributes:
        first_step: the step it begins at. auto_file: where `resume="auto"` remembers the run.
        forked: whether it is a forked child's, which adds rows to the run and neither begins nor ends it.
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

    def in_child(self, pid: int, step: int) -> Plan:
        """Return the plan of a forked child's session, which begins at its parent's step."""
        return self._replace(
            writer=fork_writer(self.writer, pid), first_step=step, quiet=True, auto_file=None, forked=True
        )
