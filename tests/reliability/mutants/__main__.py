"""Apply each mutation to a copy of the tree and run the tests that are to notice: `make mutants [ARGS="word …"]`.

Each word chooses the mutations whose names hold it. Exit code 1 when a mutation survives.
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

from reliability.mutants.catalog import MUTATIONS, Edit, Mutation
from support.paths import ROOT

_PACKAGES: Final = ("schemas", "ingestor", "producer", "query", "deploy")
_COPIED: Final = (*_PACKAGES, "tests", "pyproject.toml")
# A mutation may make the loop run in circles; then time is what notices.
_TIMEOUT_SECONDS: Final = 600


class Verdict(NamedTuple):
    """What became of a mutation: who noticed it, None for nobody, in what time, and what the tests said."""

    noticed_by: str | None
    seconds: float
    output: str


def mutate(tree: Path, edits: Sequence[Edit]) -> None:
    """Make the replacements in a tree. Raises: ValueError when the old text is not there exactly once."""
    for edit in edits:
        path = tree / edit.file
        text = path.read_text("utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.file} holds {text.count(edit.old)} times, not once:\n{edit.old}")
        path.write_text(text.replace(edit.old, edit.new), "utf-8")


def copied(tree: Path) -> None:
    """Copy the sources and the tests into an empty folder."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)


def run_in(tree: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run Python so that it imports from a tree; None when it did not end in time."""
    path = os.pathsep.join(str(tree / name) for name in (*_PACKAGES, "tests"))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def check_imports(tree: Path, files: Sequence[str]) -> None:
    """Raise RuntimeError unless the modules of these files are imported, and from the tree."""
    for file in files:
        module = ".".join(Path(file).with_suffix("").parts[1:])
        done = run_in(tree, ["-c", f"import {module} as module; print(module.__file__)"])
        if done is None or done.returncode or Path(done.stdout.strip()) != (tree / file).resolve():
            raise RuntimeError(f"{module} is not what is imported: {done and (done.stdout + done.stderr)}")


def judge(mutation: Mutation, seeds: int) -> Verdict:
    """Apply a mutation to a copy, and run the tests that are to notice it."""
    with tempfile.TemporaryDirectory(prefix="stepwell-mutant-") as folder:
        tree = Path(folder).resolve()
        copied(tree)
        mutate(tree, mutation.edits)
        check_imports(tree, sorted({edit.file for edit in mutation.edits}))
        began = time.monotonic()
        if mutation.tests:
            command, who = ["-m", "pytest", "-x", "-q", *mutation.tests], " ".join(mutation.tests)
        else:
            command, who = ["-m", "reliability.simulation", "--seeds", str(seeds), "--fail-fast"], "simulation"
        done = run_in(tree, command)
        seconds = time.monotonic() - began
        output = "" if done is None else done.stdout + done.stderr
        return Verdict(who if done is None or done.returncode else None, seconds, output)


def main() -> int:
    """Judge the mutations, the unbroken tree first; return 1 when one survives."""
    parser = argparse.ArgumentParser(prog="python -m reliability.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="judge the mutations whose names hold one of these words")
    parser.add_argument("--seeds", type=int, default=300, help="seeds of the simulation for each mutation")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.words or any(word in m.name for word in options.words)]
    console = Console()
    suites = sorted({mutation.tests for mutation in chosen})
    for tests in suites:
        unbroken = judge(Mutation("nothing is changed", (), tests), options.seeds)
        if unbroken.noticed_by is not None:
            console.print(unbroken.output, markup=False, highlight=False)
            console.print(f"The unbroken tree fails {unbroken.noticed_by}: nothing can be learned.")
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
