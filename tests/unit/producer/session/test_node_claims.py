"""Claims on a writer's name and on the machine, by sessions of several processes of a node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stepwell.session.node_claims import NodeClaims
from stepwell_schemas.rules.identifiers import RunPath

_RUN = RunPath("me", "p", "run")
_HOLDER = """
import sys
from stepwell.session.node_claims import NodeClaims
from stepwell_schemas.rules.identifiers import RunPath
claims = NodeClaims(RunPath("me", "p", "run"), "there")
print(claims.claim_writer("rank0"), claims.owns("machine"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def _claims(run: RunPath = _RUN, destination: str = "there") -> NodeClaims:
    return NodeClaims(run, destination)


def test_sessions_of_one_writer_are_numbered_and_names_come_back(folder: Path) -> None:
    first, second, third = _claims(), _claims(), _claims()
    assert [claims.claim_writer("rank0") for claims in (first, second, third)] == ["rank0", "rank0.2", "rank0.3"]
    assert _claims().claim_writer("rank1") == "rank1"
    assert _claims(_RUN._replace(run_id="other")).claim_writer("rank0") == "rank0"
    assert _claims(destination="elsewhere").claim_writer("rank0") == "rank0"
    first.release()
    assert _claims().claim_writer("rank0") == "rank0"
    for claims in (second, third):
        claims.release()
    assert _claims().claim_writer("rank0.2") == "rank0.2"
    assert {path.name for path in folder.iterdir()} == {f"stepwell_node_{os.getuid()}"}


def test_another_process_takes_over_when_the_owner_is_killed(folder: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "rank0 True\n"
        claims = _claims()
        assert claims.claim_writer("rank0") == "rank0.2"
        assert not claims.owns("machine")
        holder.kill()
    assert claims.owns("machine")
    assert _claims().claim_writer("rank0") == "rank0"


def test_a_forked_child_neither_holds_nor_releases_claims(folder: Path) -> None:
    claims = _claims()
    assert claims.claim_writer("rank0") == "rank0"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        claims.release()
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    assert _claims().claim_writer("rank0") == "rank0.2"
    claims.release()
    assert _claims().claim_writer("rank0") == "rank0"
    os.close(writing)
    os.waitpid(pid, 0)
    assert folder.exists()


def test_without_a_folder_everything_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"stepwell_node_{os.getuid()}").write_text("a file")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert [_claims().claim_writer("rank0") for _ in range(2)] == ["rank0", "rank0"]
    assert _claims().owns("machine")
