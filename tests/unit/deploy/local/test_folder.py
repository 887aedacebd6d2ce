"""The data folder is accessible to its owner only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stepwell_deploy.local.data_dir import kept_secret, locked_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "new" / "server") as folder:
        assert mode(folder) == 0o700


def test_a_folder_of_ours_is_made_private(tmp_path: Path) -> None:
    for name, content in (("empty", ()), ("used", ("lock", "kafka"))):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        for entry in content:
            (folder / entry).touch()
        with locked_folder(folder):
            assert mode(folder) == 0o700


def test_a_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    with locked_folder(tmp_path):
        assert mode(tmp_path) == 0o755


def test_the_lock_of_a_killed_process_is_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal; from stepwell_deploy.local.data_dir import locked_folder\n"
        f"with locked_folder(pathlib.Path({str(tmp_path / 'data')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=50).returncode == -9
    assert (tmp_path / "data" / "lock").read_text()
    with locked_folder(tmp_path / "data"):
        assert (tmp_path / "data" / "lock").read_text() == str(os.getpid())


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    made = iter(["first", "second", "third"])
    # What a process that was killed left behind is replaced.
    file.with_suffix(".new").write_text("half")
    assert [kept_secret(file, lambda: next(made)) for _ in range(2)] == ["first", "first"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    file.write_text("")
    assert kept_secret(file, lambda: next(made)) == "second"
