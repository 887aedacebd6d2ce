"""The code that a run executed: script, Git commit, and whether the checkout differs from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from stepwell.api.http import ApiHttp
from stepwell.api.run import ApiRun
from stepwell.session.init import build_spec
from stepwell.settings import ProducerSettings
from stepwell.system.source_code import SourceCode, is_dirty, read_commit, read_source_code
from stepwell_schemas.rules.identifiers import RunPath

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="the command git is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
PATIENT = 30.0


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, and return what it prints."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit that holds `jobs/train.py`."""
    root = tmp_path / "checkout"
    (root / "jobs").mkdir(parents=True)
    (root / "jobs" / "train.py").write_text("print(1)\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


@needs_git
def test_a_script_in_a_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = checkout / "jobs" / "train.py"
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setattr("stepwell.system.source_code.is_dirty", lambda root: is_dirty(root, PATIENT))
    assert read_source_code(script=script) == SourceCode("jobs/train.py", commit, False)
    assert read_source_code(git=False, script=script) == SourceCode("train.py")


@needs_git
def test_only_changes_of_tracked_files_make_a_checkout_dirty(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "notes.txt").write_text("not tracked")
    # As in a hook of another repository.
    monkeypatch.setenv("GIT_DIR", str(checkout / "none"))
    assert is_dirty.__wrapped__(checkout, PATIENT) is False
    (checkout / "jobs" / "train.py").write_text("print(2)\n")
    assert is_dirty.__wrapped__(checkout, PATIENT) is True
    assert is_dirty.__wrapped__(checkout, 1e-9) is None
    assert is_dirty.__wrapped__(checkout / "none", PATIENT) is None
    monkeypatch.setenv("PATH", "")
    assert is_dirty.__wrapped__(checkout, PATIENT) is None


@needs_git
def test_the_commit_is_what_git_says(checkout: Path, tmp_path: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    assert read_commit(checkout) == first
    git(checkout, "pack-refs", "--all")
    assert read_commit(checkout) == first
    git(checkout, "worktree", "add", "-q", "-b", "topic/one", str(tmp_path / "other"))
    (tmp_path / "other" / "new").write_text("")
    git(tmp_path / "other", "add", ".")
    git(tmp_path / "other", "commit", "-q", "-m", "second")
    second = git(tmp_path / "other", "rev-parse", "HEAD")
    assert (read_commit(checkout), read_commit(tmp_path / "other")) == (first, second)
    git(checkout, "checkout", "-q", "--detach", second)
    assert read_commit(checkout) == second


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({"HEAD": f"{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{COMMIT}\n", "packed-refs": f"{OTHER} x\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/a", "packed-refs": f"# x\n{OTHER} refs/heads/b\n{COMMIT} refs/heads/a"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n"}, ""),
        ({"HEAD": "ref: refs/heads/.invalid\n"}, ""),
        ({"HEAD": "\udcff nonsense"}, ""),
        ({"HEAD": "ref: ../../secret\n"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_any_content_of_a_git_folder(tmp_path: Path, files: dict[str, str], commit: str) -> None:
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        path = tmp_path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    script = tmp_path / "train.py"
    script.write_text("")
    assert read_source_code(script=script).git_commit == commit


def test_without_a_checkout_or_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.system.source_code._find_checkout", lambda script: None)
    script = tmp_path / "train.py"
    assert read_source_code(script=script) == SourceCode("train.py")
    for main in (ModuleType("__main__"), None):
        monkeypatch.setitem(sys.modules, "__main__", main)
        assert read_source_code() == SourceCode()


def test_the_setting_switches_git_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bool] = []

    def record(git: bool) -> SourceCode:
        read.append(git)
        return SourceCode("train.py")

    monkeypatch.setattr("stepwell.session.init.read_source_code", record)
    arguments = {"entity": "e", "project": "p", "mode": "offline"}
    for given in ({}, {"git": False}, {"disable_git": True}):
        settings = ProducerSettings(dir=tmp_path, **given)
        assert build_spec(arguments, settings, None).code == SourceCode("train.py")
    assert build_spec({**arguments, "mode": "disabled"}, ProducerSettings(dir=tmp_path), None).code == SourceCode()
    assert read == [True, False, False]


def test_a_run_that_is_read_back_has_its_code() -> None:
    path = RunPath("e", "p", "r")
    http = ApiHttp("http://127.0.0.1:1", "", 1.0)
    known = ApiRun(http, path, {"program": "jobs/train.py", "git_commit": COMMIT, "git_dirty": False})
    assert (known.program, known.commit, known.git_dirty) == ("jobs/train.py", COMMIT, False)
    # As a service of an earlier version answers.
    unknown = ApiRun(http, path, {})
    assert (unknown.program, unknown.commit, unknown.git_dirty) == ("", "", None)
