"""A training continues without room for files, folders or threads, with any mask, and with closed standard files."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import stepwell
from stepwell.delivery.blocked import Blocked
from stepwell.errors import ApiError
from stepwell.journal.permissions import create_file, create_folder
from stepwell.session import primacy, resume
from stepwell.session.surroundings import reserve_standard_files
from support.readers.journals import count_rows, read_journal

_QUIET = {"quiet": True, "system_seconds": 0, "base_url": "http://127.0.0.1:9"}


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """Bound the size of the files that this process writes, as `ulimit -f` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("most", [0, 4_096])
def test_a_limit_of_file_sizes_that_no_journal_fits(tmp_path: Path, most: int) -> None:
    with file_size(most):
        run = stepwell.init(dir=tmp_path, mode="offline", settings=_QUIET)
        for _ in range(100):
            run.log({"loss": 1.0, "text": "x" * 100})
        receipt = run.finish()
    assert (receipt.logged, receipt.journal, receipt.dropped) == (100, None, 0)
    assert run.summary["loss"] == 1.0


def test_a_limit_of_file_sizes_is_one_of_segments(tmp_path: Path) -> None:
    with file_size(20_480):
        run = stepwell.init(dir=tmp_path, mode="offline", settings=_QUIET)
        for _ in range(500):
            run.log({"loss": 1.0, "text": "x" * 100})
        receipt = run.finish()
    assert (receipt.logged, receipt.dropped) == (500, 0)
    assert count_rows(read_journal(run.journal_path)[1]) == 500


def _no_temporary_folder() -> str:
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")


def _no_service(*_: object, **__: object) -> None:
    raise ApiError("no service")


@pytest.mark.parametrize("temporary", [True, False])
def test_a_working_directory_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: bool) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path) if temporary else None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", _no_temporary_folder)
    monkeypatch.setattr(resume, "fetch_document", _no_service)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for rule in (None, "allow", "auto"):
        run = stepwell.init(id="run", mode="offline", resume=rule, settings=_QUIET)
        run.log({"loss": 1.0})
        assert Path(run.dir).exists() == temporary
        assert (run.finish().journal is not None) == temporary


def test_folders_and_files_can_be_used_with_any_mask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        create_folder(tmp_path / "a" / "b")
        os.close(create_file(tmp_path / "a" / "b" / "file"))
        with pytest.raises(FileExistsError):
            create_folder(tmp_path / "a" / "b")
        run = stepwell.init(dir=tmp_path / "dir", mode="offline", settings=_QUIET)
        run.log({"loss": 1.0})
        run.finish()
    finally:
        os.umask(before)
    paths = [tmp_path / "a", tmp_path / "a" / "b", *(tmp_path / "dir").rglob("*")]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}


def test_closed_standard_files_are_reserved() -> None:
    saved = os.dup(0)
    os.close(0)
    try:
        reserve_standard_files()
        assert os.fstat(0).st_rdev == Path(os.devnull).stat().st_rdev
        assert os.get_inheritable(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_limit_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(primacy, "wait_until_ingested", lambda *_: None)
    monkeypatch.setattr(primacy, "_fetch_client", lambda *_: None)
    settings = {**_QUIET, "console": "auto", "system_seconds": 1}
    run = stepwell.init("me", "p", tmp_path, "run", settings=settings)
    run.log({"loss": 1.0})
    print("a line")
    receipt = run.finish(timeout=0)
    assert (receipt.logged, receipt.delivered, receipt.blocked) == (1, 0, Blocked.SENDER_STOPPED)
    assert count_rows(read_journal(run.journal_path)[1]) == 1
