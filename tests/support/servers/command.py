"""The command line without the seconds of imports that each new interpreter costs.

`run_stepwell` runs a command in the test's own process, `start_stepwell` in a process that is forked from a server
which has imported everything: it can be killed, and may open an engine of its own. Both run it as `stepwell` does, from
its arguments and environment to its exit code and what it prints.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

import structlog
from typer.testing import CliRunner

from stepwell_deploy.cli.app import main

_PR_SET_PDEATHSIG: Final = 1
# Without the embedded engine, whose threads would not survive a fork.
_PRELOADED: Final = (
    "stepwell_deploy.cli.app",
    "stepwell_deploy.deadletters.topic",
    "stepwell_deploy.rebuild.runner",
    "stepwell_deploy.verify.runner",
    "stepwell_query.api.app",
    "pandas",
    "pytest",
    "typer.testing",
)


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
def _logging_elsewhere() -> Iterator[None]:
    """Keep what other parts in this process log out of the command's output."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


def fork_server() -> ForkServerContext:
    """Return the context of processes that are forked from the server."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


@dataclass(frozen=True)
class RunningCommand:
    """A command in a process of its own, and the files of its output."""

    process: ForkServerProcess
    out: Path
    err: Path

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self.process.kill()
        self.process.join()

    def end(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return its exit code and output."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.kill()
        assert code is not None, f"it did not end within {seconds:.0f} s: {self.err.read_text()}"
        return subprocess.CompletedProcess(self.process.name, code, self.out.read_text(), self.err.read_text())


def start_stepwell(*arguments: str, environment: Mapping[str, str], folder: Path) -> RunningCommand:
    """Start `stepwell …` in a forked process with this environment; `folder` gets the files of its output."""
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout", folder / "stderr"
    for file in (out, err):
        file.touch()
    process = fork_server().Process(target=_command, args=(arguments, dict(environment), out, err))
    process.start()
    return RunningCommand(process, out, err)


def _command(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> None:
    if sys.platform == "linux":
        # The server ends with the tests, and this process with the server.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        with file.open("wb") as opened:
            os.dup2(opened.fileno(), number)
    main(arguments)
