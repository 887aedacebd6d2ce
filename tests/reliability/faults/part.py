"""A process of the fault tests that is killed, paused and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stepwell_deploy.local.processes import stop_child
from support.servers.scripts import start_part

_RESTART_SECONDS: Final = 0.5


class Part:
    """A process that is restarted, after `down_seconds`, whenever it has ended.

    Attributes:
        killed: number of SIGKILLs sent.
        exits: exit codes of ends by itself.
        resume_at: time at which a paused process continues.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.killed = 0
        self.exits: list[int] = []
        self._command = command
        self._environment = {**os.environ, **environment}
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at = 0.0
        self._resume_at: float | None = None
        self._expected = False

    def supervise(self, now: float) -> None:
        """Start the process if it is down and due; resume it if its pause is over."""
        if self._process is not None and self._process.poll() is not None:
            if not self._expected:
                self.exits.append(self._process.returncode)
                self._start_at = now + _RESTART_SECONDS
            self._process = None
        if self._process is None and now >= self._start_at:
            self.start()
        self.continue_when_due(now)

    @property
    def ended(self) -> int | None:
        """The exit code; None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    def count_logged(self, event: str) -> int:
        """Return the number of lines of the log with this event."""
        return self._log.read_text(errors="replace").count(f'"event": "{event}"') if self._log.exists() else 0

    def continue_when_due(self, now: float) -> None:
        """Resume the process if its pause is over."""
        if self._resume_at is not None and now >= self._resume_at:
            self.resume()

    def start(self) -> None:
        """Start the process, which must not run: otherwise the running one would be orphaned."""
        assert self._process is None
        self._expected = False
        self._resume_at = None
        self._process = start_part(self._command, self._log, self._environment)

    def change_environment(self, environment: Mapping[str, str]) -> None:
        """Replace variables; the process has them from its next start on."""
        self._environment |= environment

    def kill(self, now: float, down_seconds: float) -> None:
        """Send SIGKILL; the process stays down for a while."""
        if self._process is not None and self._process.poll() is None:
            self._expected = True
            self._process.kill()
            self._process.wait()
            self._process = None
            self.killed += 1
            self._start_at = now + down_seconds

    def terminate(self, now: float) -> None:
        """Send SIGTERM; the process is restarted when it has drained."""
        if self._process is not None and self._process.poll() is None:
            self._expected = True
            self._process.terminate()
            self._start_at = now

    def pause(self, now: float, seconds: float) -> None:
        """Send SIGSTOP, for a while."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            self._resume_at = now + seconds

    def resume(self) -> None:
        """Send SIGCONT."""
        self._resume_at = None
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process permanently."""
        self.resume()
        if self._process is not None:
            stop_child(self._process, 10.0)
            self._process = None
