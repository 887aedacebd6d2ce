"""Docstrings begin with a verb or a noun phrase, and not with a question word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.paths import ROOT

FOLDERS: Final = (
    "schemas",
    "producer/stepwell",
    "producer/stepwell_gateway",
    "ingestor",
    "query/stepwell_query",
    "deploy",
    "tests",
)
"""Folders that the rule holds for, relative to the repository."""

_QUESTION: Final = re.compile(r"(?:What|Which|Whether|How|Who|Where)\b")
_QUOTED_QUESTION: Final = re.compile(rf"[\"'][\\\s]*{_QUESTION.pattern}")
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of the docstrings of a module, and of the texts that document its assignments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for number, statement in enumerate(body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    documents = number == 0 and isinstance(node, _DOCUMENTED)
                    if documents or isinstance(body[number - 1], ast.Assign | ast.AnnAssign):
                        yield statement.lineno, text.strip()


def questions(source: str) -> list[int]:
    """Return the lines of docstrings that begin with a question word."""
    return [line for line, text in docstrings(source) if _QUESTION.match(text)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_begins_with_a_question_word(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert [f"{path.relative_to(ROOT)}:{line}" for path in files for line in _questions_in(path)] == []


def _questions_in(path: Path) -> list[int]:
    source = path.read_text("utf-8")
    # Parsing takes a hundred times as long as looking for such a text.
    return questions(source) if _QUOTED_QUESTION.search(source) else []


def test_the_rule_finds_each_kind_of_docstring() -> None:
    source = (
        '"""What it is."""\n'
        "class A:\n"
        '    """Which one."""\n'
        "    x: int = 1\n"
        '    """How many."""\n'
        "async def f() -> None:\n"
        '    """ Whether it is."""\n'
        "def g() -> None:\n"
        '    """Whatever it is, return it."""\n'
        '    print("What")\n'
    )
    assert questions(source) == [1, 3, 5, 7]
