"""Edits of the mutations: replacements of text within one symbol, which is found by its module and name.

A symbol that has moved or was renamed raises an EditError that names it, so that no mutation is lost silently.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SOURCE_ROOTS: Final = ("schemas", "ingestor", "producer", "query", "deploy", "tests")
"""Folders of the repository that modules are imported from."""


class EditError(ValueError):
    """An edit does not fit the sources."""


class Edit(NamedTuple):
    """A replacement of `old` by `new` within a symbol; `old` must occur there exactly once.

    `symbol` is `module:name`, where the name is that of a function, a class, a method (`Class.method`) or an assigned
    name, as in `stepwell_ingestor.flush.flusher:Flusher.flush`.
    """

    symbol: str
    old: str
    new: str

    @property
    def module(self) -> str:
        """Name of the module, as imported."""
        return self.symbol.partition(":")[0]

    @property
    def name(self) -> str:
        """Dotted name of the symbol within its module."""
        return self.symbol.partition(":")[2]


def find_source(tree: Path, module: str) -> Path:
    """Return the file of a module in a copy of the repository. Raises: EditError."""
    path = Path(*module.split("."))
    for root in SOURCE_ROOTS:
        for file in (tree / root / path.with_suffix(".py"), tree / root / path / "__init__.py"):
            if file.is_file():
                return file
    raise EditError(f"there is no module {module}: has it moved?")


def mutate_source(source: str, edit: Edit) -> str:
    """Return the source of a module with an edit applied. Raises: EditError."""
    first, last = _symbol_lines(source, edit)
    lines = source.splitlines(keepends=True)
    text = "".join(lines[first - 1 : last])
    count = text.count(edit.old)
    if count != 1:
        raise EditError(f"{edit.symbol} has this text {count} times instead of once:\n{edit.old}")
    return "".join([*lines[: first - 1], text.replace(edit.old, edit.new), *lines[last:]])


def apply_edit(tree: Path, edit: Edit) -> Path:
    """Apply an edit to a copy of the repository, and return the changed file. Raises: EditError."""
    file = find_source(tree, edit.module)
    file.write_text(mutate_source(file.read_text("utf-8"), edit), "utf-8")
    return file


def _symbol_lines(source: str, edit: Edit) -> tuple[int, int]:
    """Return the first and the last line of the symbol of an edit, counted from 1."""
    node: ast.AST = ast.parse(source)
    for name in edit.name.split("."):
        matches = [child for child in _statements(node) if name in _defined_names(child)]
        if len(matches) != 1:
            raise EditError(
                f"{edit.module} defines {edit.name} {len(matches)} times instead of once: was {name} renamed or moved?"
            )
        node = matches[0]
    assert isinstance(node, ast.stmt)
    return node.lineno, node.end_lineno or node.lineno


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def _defined_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
