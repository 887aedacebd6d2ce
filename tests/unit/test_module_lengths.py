"""Modules of the packages and of the page have at most 300 lines: a longer one holds a second subject."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support.paths import ROOT

MAX_LINES: Final = 300

MODULES: Final = (
    "schemas/stepwell_schemas/**/*.py",
    "producer/stepwell/**/*.py",
    "producer/stepwell_gateway/**/*.py",
    "ingestor/stepwell_ingestor/**/*.py",
    "query/stepwell_query/**/*.py",
    "query/stepwell_query/web/js/**/*.js",
    "deploy/stepwell_deploy/**/*.py",
)
"""Patterns of the modules that the rule holds for, relative to the repository."""

LONGER: Final = {
    "producer/stepwell/__init__.py": "the public names, with their signatures and docstrings",
}
"""Modules that may be longer, and the reasons."""


def count_lines(path: Path) -> int:
    """Return the number of a module's lines."""
    return path.read_bytes().count(b"\n")


@pytest.mark.parametrize("pattern", MODULES)
def test_modules_are_short(pattern: str) -> None:
    lines = {path.relative_to(ROOT).as_posix(): count_lines(path) for path in ROOT.glob(pattern)}
    assert lines
    assert {name: count for name, count in lines.items() if count > MAX_LINES and name not in LONGER} == {}


@pytest.mark.parametrize("name", LONGER)
def test_a_module_that_may_be_longer_is(name: str) -> None:
    assert count_lines(ROOT / name) > MAX_LINES
