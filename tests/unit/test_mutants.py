"""The mutations of `make mutants` fit the sources: each replaces a text that occurs in its symbol once."""

from __future__ import annotations

import pytest

from reliability.mutants.catalog import MUTATIONS, Mutation
from reliability.mutants.edits import Edit, EditError, find_source, mutate_source
from support.paths import ROOT

SOURCE = """
LIMIT = 1

class Flusher:
    count: int = 1

    async def flush(self) -> None:
        commit(1)

def commit(number):
    commit(1)
"""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_finds_its_text(mutation: Mutation) -> None:
    sources = {edit.module: find_source(ROOT, edit.module).read_text("utf-8") for edit in mutation.edits}
    for edit in mutation.edits:
        before = sources[edit.module]
        sources[edit.module] = mutate_source(before, edit)
        assert sources[edit.module] != before
    for module, source in sources.items():
        compile(source, module, "exec")


def test_names_of_mutations_are_unique() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "old", "mutated"),
    [
        ("Flusher.flush", "commit(1)", SOURCE.replace("        commit(1)", "        commit(2)")),
        ("commit", "commit(1)", SOURCE[:-10] + "commit(2)\n"),
        ("LIMIT", "1", SOURCE.replace("LIMIT = 1", "LIMIT = commit(2)")),
        ("Flusher.count", "int = 1", SOURCE.replace("count: int = 1", "count: commit(2)")),
    ],
)
def test_an_edit_changes_its_symbol_alone(name: str, old: str, mutated: str) -> None:
    assert mutate_source(SOURCE, Edit(f"module:{name}", old, "commit(2)")) == mutated


@pytest.mark.parametrize(
    ("symbol", "old", "message"),
    [
        ("module:Flusher.stop", "commit(1)", "defines Flusher.stop 0 times"),
        ("module:stop", "commit(1)", "was stop renamed or moved"),
        ("module:Flusher.flush", "commit(3)", "has this text 0 times"),
        ("module:Flusher", "1", "has this text 2 times"),
    ],
)
def test_an_edit_that_does_not_fit_names_its_symbol(symbol: str, old: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        mutate_source(SOURCE, Edit(symbol, old, "pass"))


def test_a_module_that_has_moved_is_named() -> None:
    with pytest.raises(EditError, match=r"no module stepwell_ingestor\.flushing"):
        find_source(ROOT, "stepwell_ingestor.flushing")
