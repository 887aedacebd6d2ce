"""The mutations of `make mutants` fit the sources: each replaces text that is there, once."""

from __future__ import annotations

import pytest

from reliability.mutants.catalog import MUTATIONS, Mutation
from support.paths import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_finds_its_text(mutation: Mutation) -> None:
    for edit in mutation.edits:
        assert (ROOT / edit.file).read_text().count(edit.old) == 1, edit.file
