"""Expected rows of several writers, in plain Python: a dict for each row, from values in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stepwell_schemas.rules.writers import writer_order


class Value(NamedTuple):
    """A value that a writer logged."""

    writer: str
    key: str
    step: int
    number: float


def model_rows(values: Sequence[Value], keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of values, a dict each, by step and then by writer; only those with all keys."""
    values = [value for value in values if not keys or value.key in keys]
    writers = {key: {value.writer for value in values if value.key == key} for key in {value.key for value in values}}
    shared = {key for key, names in writers.items() if len(names) > 1}
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    names: dict[tuple[Any, ...], set[str]] = {}
    for value in values:
        own = any(other.key in shared and (other.writer, other.step) == (value.writer, value.step) for other in values)
        place = (value.step, not own, writer_order(value.writer) if own else ())
        rows.setdefault(place, {"_step": value.step})[value.key] = value.number
        names.setdefault(place, set()).add(value.writer)
    if shared:
        for place, row in rows.items():
            row["_writer"] = next(iter(names[place])) if len(names[place]) == 1 else None
    return [rows[place] for place in sorted(rows) if all(key in rows[place] for key in keys)]
