"""All rows of the public views of a database."""

from __future__ import annotations

from typing import Any, Final

from stepwell_schemas.clickhouse.store import Store

VIEWS: Final = ("numbers", "strings", "bools", "others", "media", "metrics", "runs", "step_conflicts")
Rows = dict[str, list[dict[str, Any]]]


def view_rows(store: Store) -> Rows:
    """Return the rows of each view, with values as text, in which NaN equals itself and 0 differs from -0."""
    return {
        view: [
            {name: repr(value) for name, value in row.items()}
            for row in store.query(f"SELECT * FROM {{db}}.{view} ORDER BY ALL").to_pylist()
        ]
        for view in VIEWS
    }
