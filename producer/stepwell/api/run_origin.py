"""Attributes of a stored run that say where it comes from: script, Git commit, machine and start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.api.compat import edit_remedy
from stepwell.api.views import ReadOnlyDict


class RunOrigin:
    """The origin of a run; `info` is the service's JSON document."""

    info: Mapping[str, Any]

    @property
    def program(self) -> str:
        """The script: its path in its Git checkout, or its file name."""
        return str(self.info.get("program") or "")

    @property
    def commit(self) -> str:
        """The Git commit of the script's checkout; empty if unknown."""
        return str(self.info.get("git_commit") or "")

    @property
    def git_dirty(self) -> bool | None:
        """True if tracked files of the checkout differed from the commit; None if unknown."""
        dirty = self.info.get("git_dirty")
        return None if dirty is None else bool(dirty)

    @property
    def created_at(self) -> str:
        """The start time, ISO 8601 in UTC."""
        return str(self.info.get("created_at") or "")

    @property
    def metadata(self) -> ReadOnlyDict:
        """The machine and the code, in wandb's names: `host`, `program`, `startedAt`, `git`, as far as known."""
        git = {"commit": self.commit, "dirty": self.git_dirty}
        known = {
            "host": self.info.get("host"),
            "program": self.program,
            "codePath": self.program,
            "startedAt": self.info.get("started_at"),
            "git": git if self.commit else None,
        }
        given = {name: value for name, value in known.items() if value}
        return ReadOnlyDict(given, edit_remedy("metadata"))
