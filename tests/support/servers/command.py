"""The command line without the seconds of imports that each new interpreter costs.

`run_stepwell` runs a command in the test's own process, `start_stepwell` in a forked one: it can be killed, and may
open an engine of its own. Both run it as `stepwell` does, from its arguments and environment to its exit code and what
it prints.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from stepwell_deploy.cli.app import main
from support.servers.scripts import start_command


def run_stepwell(
    *arguments: str, environment: Mapping[str, str], code: int | None = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run `stepwell …` in this process, with these settings and no others; `code` is its exit code, None any."""
    others: dict[str, str | None] = {name: None for name in os.environ if name.startswith("STEPWELL_")}
    with _logging_elsewhere(), CliRunner().isolation(env={**others, **environment}) as (out, err, _):
        ended = 0
        try:
            main(arguments)
        except SystemExit as end:
            ended = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        done = subprocess.CompletedProcess(arguments, ended, out.getvalue(), err.getvalue())
    assert code in {None, done.returncode}, done.stdout.decode() + done.stderr.decode()
    return done


@contextmanager
def replays_from_a_server() -> Iterator[None]:
    """Fork the replays of `stepwell verify` for the block: imports take a new interpreter 2 s of processor time."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["stepwell_deploy.verify.runner", "pandas", "pytest"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stepwell_deploy.verify.replay_process.get_context", lambda _: context)
        yield


@contextmanager
def _logging_elsewhere() -> Iterator[None]:
    """Keep what other parts in this process log out of the command's output."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


@dataclass(frozen=True)
class RunningCommand:
    """A command in a process of its own, and the files of its output."""

    process: subprocess.Popen[str]
    out: Path
    err: Path

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self.process.kill()
        self.process.communicate()

    def end(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return its exit code and output."""
        try:
            self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {seconds:.0f} s: {self.err.read_text()}") from None
        out, err = self.out.read_text(), self.err.read_text()
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)


def start_stepwell(*arguments: str, environment: Mapping[str, str], folder: Path) -> RunningCommand:
    """Start `stepwell …` in a forked process with this environment; `folder` gets the files of its output."""
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        return RunningCommand(start_command(arguments, environment, stdout, stderr), out, err)
