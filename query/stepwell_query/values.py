"""Reads a run's values at some steps out of the tables of their kinds."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stepwell_query.catalog import OF_RUN, Selection, SeriesInfo, run_parameters
from stepwell_query.rows import Values
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import MEDIA_KINDS, Kind
from stepwell_schemas.streams import DEFAULT

_TABLES: Final = {
    Kind.NUMBER: "points_number",
    Kind.STRING: "points_string",
    Kind.BOOL: "points_bool",
    Kind.OTHER: "points_other",
} | dict.fromkeys(MEDIA_KINDS, "points_media")
_NO_SERIES: Final = -1


@dataclass(frozen=True, slots=True)
class Source:
    """Some series of one run."""

    store: Store
    run: RunPath
    selection: Selection
    max_seconds: float

    @property
    def series(self) -> Sequence[SeriesInfo]:
        """The series."""
        return self.selection.series

    @property
    def limits(self) -> str:
        """The settings that end a statement of this source."""
        return f"SETTINGS max_execution_time = {self.max_seconds:f}"

    def parameters(self, **more: Any) -> dict[str, Any]:
        """Return the parameters of a statement over this source."""
        if self._by_key:
            more["keys"] = self.selection.keys
        elif self.selection.others:
            more["others"] = self.selection.others
        return run_parameters(self.run) | more

    @property
    def _by_key(self) -> bool:
        return self.selection.named or self.selection.stream != DEFAULT

    def of_tables(self, columns: str, condition: str) -> str:
        """Return a subquery of `columns` over every table that holds values of the series."""
        return "(" + " UNION ALL ".join(self._of_table(columns, kind, condition) for kind in self._kinds()) + ")"

    def values(self, condition: str, **parameters: Any) -> list[Values]:
        """Return the values under a condition on their steps, a table for each kind. Raises: StoreError."""
        found = [self._values(kind, condition, parameters) for kind in self._kinds()]
        return [values for values in found if len(values.step)]

    def _kinds(self) -> list[Kind]:
        """Return the kinds of the series in their order of declaration, so that answers don't depend on chance."""
        present = {info.kind for info in self.series}
        return [kind for kind in Kind if kind in present]

    def _of_table(self, columns: str, kind: Kind, condition: str) -> str:
        keys = " AND key IN {keys:Array(String)}" if self._by_key else ""
        # The others are few; the run's own keys may be many thousands.
        if self.selection.others and not self._by_key:
            keys = " AND key NOT IN {others:Array(String)}"
        # The kind is one of our own names, and its table's only: the media share one.
        media = f" AND kind = '{kind}'" if kind in MEDIA_KINDS else ""
        return f"SELECT {columns} FROM {{db}}.{_TABLES[kind]} WHERE {OF_RUN}{keys}{media} AND {condition}"

    def _values(self, kind: Kind, condition: str, parameters: dict[str, Any]) -> Values:
        exact = ", exact" if kind is Kind.NUMBER else ""
        columns = f"key, step, toUnixTimestamp64Milli(timestamp) AS time, version, value{exact}"
        sql = f"{self._of_table(columns, kind, condition)} ORDER BY step, key, version {self.limits}"
        table = self.store.query(sql, self.parameters(**parameters))
        keys = pa.chunked_array(table.column("key").combine_chunks().dictionary_encode())
        numbers = {info.key: index for index, info in enumerate(self.series) if info.kind is kind}
        return _as_values(table, keys, numbers)


def _as_values(table: pa.Table, keys: pa.ChunkedArray, numbers: dict[str, int]) -> Values:
    encoded = keys.combine_chunks()
    # A key that came into being since the series were listed has no number, and is left out.
    known = np.array([numbers.get(key, _NO_SERIES) for key in encoded.dictionary.to_pylist()], np.int64)
    series = known[encoded.indices.to_numpy()] if len(known) else np.empty(0, np.int64)
    if (series == _NO_SERIES).any():
        mask = series != _NO_SERIES
        table, series = table.filter(pa.array(mask)), series[mask]
    return Values(
        series=series,
        step=table.column("step").to_numpy(),
        time=table.column("time").to_numpy(),
        version=table.column("version").to_numpy(),
        value=table.column("value"),
        exact=table.column("exact") if "exact" in table.column_names else None,
    )
