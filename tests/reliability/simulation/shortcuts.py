"""Stand-ins for what takes most of a schedule's time and decides nothing: Arrow tables of few rows, decoding, metrics.

`test_shortcuts.py` compares tables and decoding with the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import pyarrow as pa

from reliability.simulation.rows import Row, utc
from stepwell_ingestor import service, telemetry
from stepwell_ingestor.planner import run_tables
from stepwell_ingestor.positions import stored
from stepwell_schemas.errors import UnusableEventError
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import Event

_MOST_KNOWN: Final = 10_000
_known: dict[bytes, Event | UnusableEventError] = {}


class _Cell(NamedTuple):
    value: Any

    def as_py(self) -> Any:
        """Return the value."""
        return self.value


class RowTable:
    """A table made of rows of Python values, with the part of an Arrow table's interface that the ingestor uses."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], fields: pa.StructType) -> None:
        # Hashing a type takes longer than all the rest.
        layout = _layouts.get(id(fields))
        if layout is None:
            layout = _layouts[id(fields)] = _layout(fields)
        self.column_names, self._readers = layout
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> list[_Cell]:
        """Return one column."""
        place = self.column_names.index(name)
        return [_Cell(row[place]) for row in self._rows]

    def to_pylist(self) -> list[Row]:
        """Return the rows as dictionaries, as an Arrow table's method does, with times as datetimes in UTC."""
        rows = [dict(zip(self.column_names, row, strict=True)) for row in self._rows]
        for name, read in self._readers:
            for row in rows:
                row[name] = read(row[name])
        return rows


_Layout = tuple[list[str], list[tuple[str, Callable[[Any], Any]]]]
_layouts: dict[int, _Layout] = {}


def _layout(fields: pa.StructType) -> _Layout:
    columns = [fields.field(place) for place in range(fields.num_fields)]
    readers = [(column.name, _reader(column.type)) for column in columns]
    return [column.name for column in columns], [(name, read) for name, read in readers if read is not None]


def _reader(data_type: pa.DataType) -> Callable[[Any], Any] | None:
    """Return the conversion of a column's values, None if they stay as they are."""
    if pa.types.is_timestamp(data_type):
        return utc
    if pa.types.is_list(data_type):
        read_one = _reader(data_type.value_type)
        return list if read_one is None else lambda values: [read_one(value) for value in values]
    if pa.types.is_float64(data_type):
        return float
    if pa.types.is_struct(data_type):
        names, readers = _layout(data_type)

        def read(values: tuple[Any, ...]) -> Row:
            row = dict(zip(names, values, strict=True))
            return row | {name: convert(row[name]) for name, convert in readers}

        return read
    return None


class RememberingCodec(Codec):
    """A codec that decodes the same bytes once."""

    def decode(self, payload: bytes) -> Event:
        """Decode a message value."""
        known = _known.get(payload)
        if known is None:
            try:
                known = super().decode(payload)
            except UnusableEventError as error:
                known = error
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[payload] = known
        if isinstance(known, UnusableEventError):
            raise UnusableEventError(known.reason, known.detail)
        return known


def _ignore(name: str, value: float = 1) -> None:
    del name, value


@contextmanager
def shortcuts() -> Iterator[None]:
    """Replace the originals in the ingestor."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(run_tables, "build_table", RowTable))
        stack.enter_context(patch.object(stored, "build_table", RowTable))
        stack.enter_context(patch.object(service, "Codec", RememberingCodec))
        for name in ("count", "gauge"):
            stack.enter_context(patch.object(telemetry, name, _ignore))
        yield
