"""Columns of config and summary that a list of runs shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stepwell_query.runs.filters.ast import Source
from stepwell_query.runs.paths import leaf_paths

COLUMNS_MAX: Final = 500
"""Columns of config and summary that a list of runs shows; all are stored, and found by search."""


def most_common_columns(
    documents: Iterable[Mapping[Source, Mapping[str, Any]]],
) -> tuple[list[tuple[Source, str]], int]:
    """Return the columns that most runs have, COLUMNS_MAX at most, and how many columns there are."""
    counts: Counter[tuple[Source, str]] = Counter()
    for document in documents:
        for source, content in document.items():
            counts.update((source, path) for path in set(leaf_paths(content)))
    ranked: Sequence[tuple[Source, str]] = sorted(counts, key=lambda column: (-counts[column], column))
    return list(ranked[:COLUMNS_MAX]), len(ranked)
