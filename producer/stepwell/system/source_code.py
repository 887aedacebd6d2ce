"""The code that a process runs: its script, and the Git commit of the checkout that the script lies in.

The commit is read from the files of `.git`. Only whether tracked files differ from it needs the command `git`, which
runs once per checkout and process, for at most STATUS_SECONDS. Nothing here raises: what can't be found is empty.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

STATUS_SECONDS: Final = 0.25
"""Bound on the time of `git status`, after which `git_dirty` is unknown. Measured: 10 to 20 ms with 740 files."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF: Final = re.compile(r"ref: (refs/\S+)")
_MAX_BYTES: Final = 16 * 1024 * 1024


class SourceCode(NamedTuple):
    """The code of a run.

    Attributes:
        program: the script's path, relative to the checkout; outside of one, its file name.
        git_commit: the commit that is checked out, in hexadecimal; "" if there is none.
        git_dirty: whether tracked files differ from the commit; None if unknown.
    """

    program: str = ""
    git_commit: str = ""
    git_dirty: bool | None = None


def read_source_code(git: bool = True, script: Path | None = None) -> SourceCode:
    """Return the code of this process. `git` False: only the script's file name. Never raises."""
    try:
        script = script or _find_script()
        if script is None:
            return SourceCode()
        root = _find_checkout(script) if git else None
        if root is None:
            return SourceCode(script.name)
        commit = read_commit(root)
        dirty = is_dirty(root) if commit else None
        return SourceCode(script.relative_to(root).as_posix(), commit, dirty)
    except (OSError, ValueError, RuntimeError):
        return SourceCode()


def read_commit(root: Path) -> str:
    """Return the commit that is checked out at `root`; "" in a repository without commits. Raises: OSError."""
    folder = _git_folder(root)
    head = _read(folder / "HEAD").strip()
    if _COMMIT.fullmatch(head):
        return head
    ref = _REF.fullmatch(head)
    return next(_find_ref(folder, ref[1]), "") if ref else ""


@lru_cache(maxsize=64)
def is_dirty(root: Path, seconds: float = STATUS_SECONDS) -> bool | None:
    """Return whether tracked files differ from the commit; None if `git` can't tell within `seconds`."""
    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "--untracked-files=no"]
    # A hook of Git sets variables that point `git` to another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None


def _find_script() -> Path | None:
    """Return the script of this process; None in an interactive one."""
    name = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(name, str):
        return None
    script = Path(name).resolve()
    return script if script.is_file() else None


def _find_checkout(script: Path) -> Path | None:
    """Return the root of the checkout that holds the script."""
    return next((folder for folder in script.parents if (folder / ".git").exists()), None)


def _git_folder(root: Path) -> Path:
    """Return the folder with HEAD; in a worktree or submodule, `.git` is a file that names it."""
    folder = root / ".git"
    if folder.is_file():
        return root / _read(folder).strip().removeprefix("gitdir: ")
    return folder


def _find_ref(folder: Path, ref: str) -> Iterator[str]:
    """Yield the commits that a ref has in its own file, then among the packed refs; the first one holds."""
    shared = folder
    if (folder / "commondir").is_file():
        shared = folder / _read(folder / "commondir").strip()
    for place in (folder, shared):
        if (place / ref).is_file() and _COMMIT.fullmatch(commit := _read(place / ref).strip()):
            yield commit
    if (shared / "packed-refs").is_file():
        for line in _read(shared / "packed-refs").splitlines():
            commit, _, name = line.partition(" ")
            if name == ref and _COMMIT.fullmatch(commit):
                yield commit


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")
