"""Runs of this process: the current one, and the unfinished ones, which are finished at process exit."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import TYPE_CHECKING, Final

from stepwell.session.exits import is_worker, process_end
from stepwell.session.node_claims import release_kept
from stepwell.session.spec import FINISH_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from stepwell.session.run import Run
    from stepwell_schemas.rules.identifiers import RunPath

CHILD_EXIT_SECONDS: Final = 2.0
"""Time limit for the delivery of a forked child at its exit; its parent delivers the rest."""

_EXIT_PRIORITY: Final = 100


class _Current:
    """The run that module-level functions use, all unfinished runs, and all that something still refers to."""

    run: Run | None = None
    live: Final[list[Run]] = []
    every: Final[weakref.WeakSet[Run]] = weakref.WeakSet()


def current_run() -> Run | None:
    """Return the run that `stepwell.log` writes to; None before `init()` and after `finish()`."""
    run = _Current.run
    return None if run is None or run.finished else run


def make_current(run: Run) -> None:
    """Make a run the current one, and finish it at process exit."""
    _Current.run = run
    _Current.live.append(run)
    _Current.every.add(run)
    _Current.live[:] = [live for live in _Current.live if not live.finished]
    finish_with_worker()


def find_live_run(path: RunPath, session: str) -> Run | None:
    """Return this process's run of a session, also a finished one; otherwise an open run of the same path."""
    others = [run for run in list(_Current.every) if run.run_path == path]
    own = [run for run in others if run.session == session]
    return next(iter([*own, *(run for run in others if not run.finished)]), None)


def _finish_all() -> None:
    """Finish all open runs at process exit, within a time limit for all of them, as the process ends."""
    deadline = time.monotonic() + FINISH_TIMEOUT_SECONDS
    end, error = process_end()
    for run in list(_Current.live):
        left = max(0.0, deadline - time.monotonic())
        run.end_as(end, timeout=min(left, CHILD_EXIT_SECONDS) if run.forked else left, error=error)
    release_kept()


def drain_all(seconds: float) -> None:
    """Deliver what all open runs have logged, within a time limit for all of them, since SIGTERM ends the process."""
    deadline = time.monotonic() + seconds
    for run in list(_Current.live):
        run.drain(max(0.0, deadline - time.monotonic()))


def finish_with_worker() -> None:
    """In a multiprocessing worker, which skips `atexit`, finish open runs at its exit, too."""
    if is_worker():
        from multiprocessing.util import Finalize

        Finalize(None, _finish_all, exitpriority=_EXIT_PRIORITY)


def _after_fork() -> None:
    for run in _Current.live:
        run.after_fork_in_parent()


def _in_child() -> None:
    _Current.live[:] = [run for run in _Current.live if not run.finished]
    for run in _Current.live:
        run.after_fork_in_child()


atexit.register(_finish_all)
os.register_at_fork(after_in_parent=_after_fork, after_in_child=_in_child)
