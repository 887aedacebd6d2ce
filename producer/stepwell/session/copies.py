"""Copies and pickles of a run, as in models and trainers that hold one.

A run is one object in its process, so a copy is the run itself. A pickle names it: loaded where a session of the run is
open, it is that session. Elsewhere it is a `DetachedRun`, so that a checkpoint can be loaded without its run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwell.errors import UsageError
from stepwell.session.live_runs import find_live_run
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.session.run import Run


class DetachedRun:
    """A run that was pickled in another process. It becomes this process's session of the run when there is one.

    Attributes:
        run_path: the run's path. `id`, `entity`, `project` and `path` are its parts and its text. Without a session,
            any other access raises UsageError.
    """

    def __init__(self, run_path: RunPath, session: str) -> None:
        self.run_path = run_path
        self._session = session

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        own = {**self.run_path._asdict(), "id": self.run_path.run_id, "path": str(self.run_path)}
        return own[name] if name in own else getattr(self._find(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"run_path", "_session"}:
            object.__setattr__(self, name, value)
        else:
            setattr(self._find(name), name, value)

    def _find(self, name: str) -> Run:
        run = find_live_run(self.run_path, self._session)
        if run is None:
            run_id = self.run_path.run_id
            raise UsageError(
                f"{self.run_path} was unpickled in a process that has no session of it, so .{name} is unknown: call"
                f" init(id={run_id!r}, resume='must') to continue it, or init(id={run_id!r}, writer=…) to log to it"
                " next to the process that runs it"
            )
        return run

    def __reduce__(self) -> tuple[Any, ...]:
        return restore_run, (self.run_path, self._session)

    def __repr__(self) -> str:
        return f"<stepwell.Run {self.run_path}, without a session in this process>"


def restore_run(run_path: RunPath, session: str) -> Run | DetachedRun:
    """Return the run that was pickled: its session in this process, otherwise a `DetachedRun`."""
    return find_live_run(run_path, session) or DetachedRun(run_path, session)
