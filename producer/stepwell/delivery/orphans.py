"""Journals that earlier sessions of a run left behind: found, delivered in order, and tidied away.

A session is left behind when its process was killed, ended without delivering, or was offline. Its journal tells by the
lock that nobody holds any more (`locks`).
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.format import JournalInfo, read_header
from stepwell.terminal import say
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, stream_of

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_NAME_CHARS: Final = 64
_DAMAGED_SUFFIX: Final = ".damaged"
FORK_MARK: Final = "fork-"


def journal_name(run_id: str) -> str:
    """Return a run id as a part of a file name: short, and without what file systems or shells trip over."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in run_id)
    return safe[:_NAME_CHARS]


def fork_writer(writer: str, pid: int) -> str:
    """Return the writer's name of a forked child."""
    return f"{writer}/{FORK_MARK}{pid}" if writer else f"{FORK_MARK}{pid}"


class Orphan(NamedTuple):
    """A journal without a living owner."""

    path: Path
    info: JournalInfo


def find_orphans(folder: Path, run: RunPath) -> list[Orphan]:
    """Return the journals of `run` in `folder` that nobody owns, oldest first; none where there is no folder."""
    found = []
    for path in folder.glob(f"{journal_name(run.run_id)}-*.journal"):
        info = _info_of(path)
        if info is not None and RunPath(info.entity, info.project, info.run_id) == run and locks.is_left_behind(path):
            found.append(Orphan(path, info))
    return sorted(found, key=lambda orphan: (orphan.info.started, orphan.path.name))


def _info_of(path: Path) -> JournalInfo | None:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_header(data)[0]
    except (OSError, ValueError, JournalError):
        return None


def last_step(orphans: Iterable[Orphan]) -> int:
    """Return the last step that these journals, oldest first, logged a row at or began behind; -1 for none.

    Those of streams beside the run's own rows count their steps for themselves.
    """
    import numpy as np

    from stepwell.journal.reader import JsonRow, Reader, Rows
    from stepwell_schemas.rules.steps import resolve

    last = -1
    current: dict[str, int] = {}
    for path, info in orphans:
        if stream_of(info.writer) != DEFAULT:
            continue
        # A session that logged nothing yet knows all the same behind which step it began.
        at, last = max(current.get(info.writer, 0), info.first_step), max(last, info.first_step - 1)
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            continue
        for item in Reader(check=True).read(data, len(data), len(data)):
            if isinstance(item, Rows):
                asked, commits = item.array["asked"].astype(np.int64), item.array["commit"].astype(np.int8)
            elif isinstance(item, JsonRow):
                asked, commits = np.array([item.row["s"]], np.int64), np.array([item.row["c"]], np.int8)
            else:
                continue
            resolved = resolve(at, asked, commits, len(asked))
            at, last = resolved.current, max(last, int(resolved.steps[-1]))
        current[info.writer] = at
    return last


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


class Orphans:
    """Delivers what earlier sessions of a run, and forked children of this one, left behind.

    Attributes:
        delivered: records delivered. problem: what could not be, "" when all could.
    """

    def __init__(self, folder: Path, run: RunPath, writer: str) -> None:
        self._folder = folder
        self._run = run
        self._writer = writer
        self._done: set[Path] = set()
        self.delivered = 0
        self.problem = ""

    async def deliver(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Deliver all there are now. Raises: aiokafka's KafkaError; calling it again goes on."""
        for orphan in find_orphans(self._folder, self._run):
            if orphan.path in self._done:
                continue
            # This writer's own rows must come behind those of its earlier session, whoever else is sending these.
            lock = locks.claim(orphan.path, beside_others=orphan.info.writer == self._writer)
            if lock is None:
                continue
            try:
                await self._deliver_one(orphan.path, producer, topic)
            finally:
                locks.release(lock)
            self._done.add(orphan.path)

    async def _deliver_one(self, path: Path, producer: AIOKafkaProducer, topic: str) -> None:
        from stepwell.delivery.journal_file import JournalFile

        try:
            file = JournalFile(path)
        except JournalError as error:
            self._complain(str(error))
            return
        with file:
            if file.done and file.info.keep:
                return
            try:
                await file.deliver(producer, topic)
            finally:
                self.delivered += file.reached.sequence - file.start.sequence
        # Of a child that only printed, there is nothing to say.
        if file.reached != file.start and not (FORK_MARK in file.info.writer and stream_of(file.info.writer)):
            sent = file.reached.sequence - file.start.sequence
            say(f"{self._run}: {sent:,} records that an earlier session or a forked process left are delivered")
        if file.damage is not None:
            self._put_aside(path, str(file.damage))
        elif file.refusal:
            self._complain(file.refusal)
        elif not file.info.keep:
            _remove(path)

    def _put_aside(self, path: Path, damage: str) -> None:
        aside = path.with_name(path.name + _DAMAGED_SUFFIX)
        with contextlib.suppress(OSError):
            path.replace(aside)
        self._complain(f"the journal {path} is {damage}; it is kept as {aside.name}")

    def _complain(self, problem: str) -> None:
        self.problem = problem
        say(f"{self._run}: {problem}")
