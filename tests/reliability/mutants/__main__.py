"""Apply each mutation to a copy of the tree and run the tests that must fail: `make mutants [ARGS="word …"]`.

Each word selects the mutations whose names contain it. Exit code 1 if a mutation survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from reliability.mutants.catalog import MUTATIONS, Mutation
from reliability.mutants.edits import Edit, apply_edit
from support.paths import ROOT

_PACKAGES: Final = ("schemas", "ingestor", "producer", "query", "deploy")
_COPIED: Final = (*_PACKAGES, "tests", "pyproject.toml")
# A mutation may cause an endless loop; it counts as noticed after this time.
_TIMEOUT_SECONDS: Final = 600


class Verdict(NamedTuple):
    """Result for a mutation: the suite that noticed it (None if it survived), the duration, and the tests' output."""

    noticed_by: str | None
    seconds: float
    output: str


def copy_sources(tree: Path) -> None:
    """Copy the sources and the tests into an empty folder."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, tree / name)


def run_in(tree: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run Python with imports from a tree; return None if it did not end in time."""
    path = os.pathsep.join(str(tree / name) for name in (*_PACKAGES, "tests"))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def mutate(tree: Path, edits: Sequence[Edit]) -> None:
    """Apply edits to a tree, and check that the changed modules are imported from there.

    Raises:
        EditError: when an edit does not fit the sources.
        RuntimeError: when a module can't be imported, or is imported from elsewhere.
    """
    changed = {edit.module: apply_edit(tree, edit) for edit in edits}
    for module, file in sorted(changed.items()):
        done = run_in(tree, ["-c", f"import {module} as module; print(module.__file__)"])
        if done is None or done.returncode or Path(done.stdout.strip()) != file.resolve():
            raise RuntimeError(f"{module} is not imported from {file}: {done and (done.stdout + done.stderr)}")


def judge(mutation: Mutation, seeds: int) -> Verdict:
    """Apply a mutation to a copy of the sources, and run the tests that must fail."""
    with tempfile.TemporaryDirectory(prefix="stepwell-mutant-") as folder:
        tree = Path(folder).resolve()
        copy_sources(tree)
        mutate(tree, mutation.edits)
        began = time.monotonic()
        if mutation.tests:
            options = ["-x", "-q", "--hypothesis-profile", "thorough"]
            command, suite = ["-m", "pytest", *options, *mutation.tests], " ".join(mutation.tests)
        else:
            command, suite = ["-m", "reliability.simulation", "--seeds", str(seeds), "--fail-fast"], "simulation"
        done = run_in(tree, command)
        seconds = time.monotonic() - began
        output = "" if done is None else done.stdout + done.stderr
        return Verdict(suite if done is None or done.returncode else None, seconds, output)


def main() -> int:
    """Judge the mutations, after the unchanged tree; return 1 if a mutation survives."""
    parser = argparse.ArgumentParser(prog="python -m reliability.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="judge the mutations whose names contain one of these words")
    parser.add_argument("--seeds", type=int, default=1_000, help="seeds of the simulation for each mutation")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.words or any(word in m.name for word in options.words)]
    console = Console()
    suites = sorted({mutation.tests for mutation in chosen})
    for tests in suites:
        unbroken = judge(Mutation("nothing is changed", (), tests), options.seeds)
        if unbroken.noticed_by is not None:
            console.print(unbroken.output, markup=False, highlight=False)
            console.print(f"The unchanged tree fails {unbroken.noticed_by}: the mutations can't be judged.")
            return 1
    table = Table("mutation", "verdict", "noticed by", "seconds")
    survivors = 0
    for mutation in chosen:
        verdict = judge(mutation, options.seeds)
        survivors += verdict.noticed_by is None
        word = "[red]survived" if verdict.noticed_by is None else "[green]caught"
        row = (mutation.name, word, verdict.noticed_by or "", f"{verdict.seconds:.1f}")
        table.add_row(*row)
        console.print(f"{row[0]}: {row[1]}[/] in {row[3]} s", highlight=False)
    console.print(table)
    console.print(f"{len(chosen) - survivors} caught, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
