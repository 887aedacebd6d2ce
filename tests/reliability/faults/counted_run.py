"""A run that counts: the row at step n has the value n.

So a row that is lost, stored twice or at a wrong step is seen by its value, its step, or the counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from reliability.faults.cluster import STEPWELL, Cluster, wait_until
from reliability.faults.harness import settled

WAIT_SECONDS: Final = 300.0


class Counting:
    """One run that counts, on a cluster; `problems` are its differences.

    Attributes:
        rows: the number of rows that must be stored, at the steps 0, 1, 2, ….
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.rows = 0
        self.problems: list[str] = []
        self.folder = cluster.folder / name
        self.folder.mkdir()

    @property
    def journals(self) -> Path:
        """The folder of the run's journals."""
        return self.folder / "journals"

    def start(self, rows: int, *, pause_ms: int = 0, payload: int = 0, **environment: str) -> subprocess.Popen[str]:
        """Start a process that logs some rows."""
        command = [sys.executable, "-m", "reliability.faults.counting", self.name, *map(str, (rows, pause_ms, payload))]
        return subprocess.Popen(command, env=self._environment(environment), stdout=subprocess.PIPE, text=True)

    def note(self, problem: str) -> None:
        """Record a difference."""
        self.problems.append(f"{self.name}: {problem}")

    def log(self, rows: int, **options: Any) -> Mapping[str, Any]:
        """Log some rows in a process of its own; return its receipt."""
        receipt = self.end(self.start(rows, **options))
        self.rows += rows
        return receipt

    def end(self, process: subprocess.Popen[str]) -> Mapping[str, Any]:
        """Wait for a process; return its receipt."""
        while process.poll() is None:
            self.cluster.supervise()
            time.sleep(0.05)
        output = process.stdout.read() if process.stdout is not None else ""
        if process.returncode:
            self.note(f"a training process ended with {process.returncode}")
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return lines[-1] if lines else {}

    def sync(self) -> None:
        """Deliver what is left, as a user does."""
        command = [str(STEPWELL), "sync", str(self.folder)]
        subprocess.run(command, env=self._environment({}), capture_output=True, check=False)

    def wait_until(self, ask: Callable[[], Any], what: str) -> None:
        """Wait until a condition holds, while parts that are down are restarted. Raises: AssertionError."""
        wait_until(ask, self.cluster.supervise, WAIT_SECONDS, what)

    def wait_until_stored(self) -> None:
        """Wait until the ingestors have stored the whole log."""
        self.wait_until(lambda: settled(self.cluster.settings), "the end of ingestion")

    def check(self) -> None:
        """Wait until every row is stored, and compare."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := self.stored()) != self._wanted() and time.monotonic() < deadline:
            self.cluster.supervise()
            time.sleep(0.2)
        if found != self._wanted():
            self.note(f"wanted {self._wanted()}, found {found}")

    def _wanted(self) -> dict[str, int]:
        return {"steps": self.rows, "right": self.rows, "cells": self.rows, "log_rows": self.rows}

    def stored(self) -> dict[str, int]:
        """Return the counts of what is stored now."""
        where = {"run": self.name}
        with self.cluster.store() as store:
            (cells,) = store.query(
                "SELECT uniqExact(step) AS steps, countIf(step = value) AS right, count() AS cells FROM {db}.numbers"
                " WHERE run_id = {run:String} AND key = 'count'",
                where,
            ).to_pylist()
            counts = store.query("SELECT log_rows FROM {db}.runs WHERE run_id = {run:String}", where).to_pylist()
        return {**cells, "log_rows": counts[0]["log_rows"] if counts else 0}

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {
            "STEPWELL_ENTITY": "faults",
            "STEPWELL_PROJECT": "changes",
            "STEPWELL_DIR": str(self.folder),
            "STEPWELL_SYSTEM_SECONDS": "0",
            "STEPWELL_CONSOLE": "off",
        }
        return {**os.environ, **self.cluster.environment, **own, **more}
