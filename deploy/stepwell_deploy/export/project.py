"""Concurrent export of runs: their selection, their target files, and the results."""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from stepwell.api.paths import project_url, run_url
from stepwell_deploy.errors import ExportError, ServiceLostError, StepwellDeployError
from stepwell_deploy.export.request import ExportRequest
from stepwell_deploy.export.run import ListedRun, Target, export_run
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.rules.identifiers import RunPath

_WORK: Final = ".stepwell-export"
_PAGE_RUNS: Final = 1_000
# File systems allow names of 255 bytes; some are reserved for the suffix.
_NAME_BYTES: Final = 200


@dataclass
class Summary:
    """Result of an export: the numbers of runs exported and up to date, and the errors by run.

    `raw_from` has the first steps whose rows are complete, of exported runs that have lost older ones to retention.
    """

    exported: int = 0
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    raw_from: dict[str, int] = field(default_factory=dict)


def listed_runs(service: ServiceClient, chosen: Iterable[RunPath | tuple[str, str]], filter_: str) -> list[ListedRun]:
    """Return the runs with these paths, and of each `(entity, project)` the runs that match the filter.

    Raises:
        ServiceRefusedError: for a run that does not exist.
    """
    by_path: dict[RunPath, ListedRun] = {}
    for path in chosen:
        if isinstance(path, RunPath):
            runs = iter([_listed(service.get(run_url(path)))])
        else:
            runs = _project_runs(service, *path, filter_)
        by_path |= {run.path: run for run in runs}
    return list(by_path.values())


def _project_runs(service: ServiceClient, entity: str, project: str, filter_: str) -> Iterator[ListedRun]:
    parameters: dict[str, Any] = {"filter": filter_ or None, "order": "created_at", "columns": "", "limit": _PAGE_RUNS}
    cursor = None
    while True:
        page = service.get(project_url(entity, project), cursor=cursor, **parameters)
        yield from map(_listed, page["runs"])
        cursor = page["next"]
        if cursor is None:
            return


def _listed(info: dict[str, Any]) -> ListedRun:
    path = RunPath(info["entity"], info["project"], info["run_id"])
    return ListedRun(path, info["complete_to"]["offset"], info["log_rows"], info["points"])


def folder_target(folder: Path, run: RunPath, request: ExportRequest) -> Target:
    """Return the target of a run within a folder: `entity/project/run_id.FORMAT`."""
    *parts, last = (_file_name(part) for part in run)
    name = f"{last}.{request.fmt}"
    return Target(folder.joinpath(*parts, name), folder.joinpath(_WORK, *parts, name))


def single_target(file: Path) -> Target:
    """Return the target of a run that is exported alone."""
    return Target(file, file.parent / _WORK / file.name, kept=False)


def _file_name(part: str) -> str:
    encoded = part.encode()
    if len(encoded) <= _NAME_BYTES and part != _WORK:
        return part
    return f"{encoded[:_NAME_BYTES].decode('utf-8', 'ignore')}~{hashlib.sha256(encoded).hexdigest()[:12]}"


def export_runs(
    service: ServiceClient,
    runs: Sequence[tuple[ListedRun, Target]],
    request: ExportRequest,
    jobs: int,
    rows: Callable[[int], None],
    ended: Callable[[ListedRun], None],
) -> Summary:
    """Export runs, `jobs` at a time; the error of a run is recorded, and the others continue.

    `rows` is called with the number of received rows, in any thread; `ended` is called for each run.

    Raises:
        ServiceLostError: when the connection to the service is lost.
    """
    summary = Summary()
    stop = threading.Event()

    def on_rows(count: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        rows(count)

    with ThreadPoolExecutor(jobs, "stepwell-export") as pool:
        waiting = {pool.submit(export_run, service, run, request, target, on_rows): run for run, target in runs}
        try:
            for future in as_completed(waiting):
                run = waiting[future]
                try:
                    exported = future.result()
                except ServiceLostError:
                    raise
                except (StepwellDeployError, httpx.HTTPError) as error:
                    summary.failed[str(run.path)] = str(error)
                else:
                    summary.exported += exported.fresh
                    summary.unchanged += not exported.fresh
                    if exported.raw_from is not None:
                        summary.raw_from[str(run.path)] = exported.raw_from
                ended(run)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return summary


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other exports for the block. Raises: ExportError."""
    work = folder / _WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportError(f"another export writes to {folder}; wait for it, or name another folder") from None
            yield
    except OSError as error:
        raise ExportError(f"{folder} can't be written: {error}; name another with --output") from error
