"""`Table`: rows of named columns, whose cells may be media."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, Final

import numpy as np

from stepwell.arrays import host_array, is_array, scalar_of
from stepwell.errors import StepwellError, UnstorableError
from stepwell.media import parquet
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.foreign import as_media
from stepwell_schemas.kinds import Kind

_DEFAULT_COLUMNS: Final = ("Input", "Output", "Expected")
_ANY, _UNKNOWN = "mixed", ""
_MISSING: Final = frozenset({"NAType", "NaTType"})
"""What pandas has in place of a missing value."""

# The first that fits: bool is an int, and datetime a date, to Python.
_TYPES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "bool"),
    ((int, float, Decimal, Fraction), "number"),
    (str, "string"),
    ((bytes, bytearray), "bytes"),
    ((datetime, np.datetime64), "datetime"),
    (date, "date"),
    (time, "time"),
    ((timedelta, np.timedelta64), "timedelta"),
    (Mapping, "dict"),
    ((list, tuple, set, frozenset, range), "list"),
)
_NUMPY_TYPES: Final = {"b": "bool", "i": "number", "u": "number", "f": "number", "U": "string", "M": "datetime"}


class Table(Media):
    """A table, stored as a Parquet file as it is when it is logged.

    Args:
        columns: the names; default: those of a data frame, else "Input", "Output", "Expected".
        data: rows, a numpy array of two dimensions, or a pandas DataFrame (what has `to_pandas()` becomes one).
        rows: the same as `data`. dataframe: a DataFrame, in place of `columns` and `data`; its index is left out.
        dtype: what the cells of each column are: a type (int, str, list, stepwell.Image, …) for all of them, or a list
            of types. Default: what the first cell of a column is.
        optional: whether cells may be None: for all columns, or a list.
        allow_mixed_types: take cells of any type in every column.
        log_mode: wandb's, taken and not used: each `log()` stores the whole table.

    A cell is a number, a str, a bool, None, a time, a list, a dict, an array, or media; scalars of numpy are the values
    that they hold. Arrays of lists and rows are read when the table is logged.

    Raises:
        ValueError: for a name that is there twice, a row or a column of another length. TypeError: for a cell of
            another type than its column's. Both as wandb does, at once.
    """

    kind: ClassVar[Kind] = Kind.TABLE

    def __init__(
        self,
        columns: Sequence[str | int] | None = None,
        data: Any = None,
        rows: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | Sequence[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",  # noqa: ARG002
    ) -> None:
        given = next((one for one in (dataframe, data, rows) if one is not None), ())
        if dataframe is not None or hasattr(given, "to_pandas") or hasattr(given, "iloc"):
            columns, given = _of_frame(given)
        self.columns: list[str | int] = list(_DEFAULT_COLUMNS if columns is None else columns)
        self.data: list[list[Any]] = []
        _check_names(self.columns, ValueError)
        self._optional = _for_each(optional, self.columns, "optional")
        types = _for_each(_ANY if allow_mixed_types else dtype, self.columns, "dtype")
        self._types = [_named_type(one) for one in types]
        for row in given:
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Add a row: one value for each column. Raises: ValueError, TypeError."""
        if len(data) != len(self.columns):
            raise ValueError(
                f"row {len(self.data)} has {len(data)} values, but the table has {len(self.columns)} columns: "
                f"{', '.join(map(repr, self.columns))}"
            )
        row = [_cell(value) for value in data]
        types = [self._checked(place, cell, len(self.data)) for place, cell in enumerate(row)]
        self._types = types
        self.data.append(row)

    def add_row(self, *row: Any) -> None:
        """Add a row; the same as `add_data`."""
        self.add_data(*row)

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        """Add a column: a list or an array with a value for each row; in an empty table it makes the rows.

        Raises:
            ValueError: when the name is there, or the length is another one. TypeError: for cells of several types.
        """
        cells = [_cell(value) for value in data]
        if self.columns and len(cells) != len(self.data):
            raise ValueError(f"column {name!r} has {len(cells)} values, but the table has {len(self.data)} rows")
        _check_names([*self.columns, name], ValueError)
        if not self.columns:
            self.data = [[] for _ in cells]
        self.columns.append(name)
        self._types.append(_UNKNOWN)
        self._optional.append(optional)
        try:
            for row, cell in enumerate(cells):
                self._types[-1] = self._checked(len(self._types) - 1, cell, row)
        except TypeError:
            for parts in (self.columns, self._types, self._optional):
                parts.pop()
            raise
        for cells_of_row, cell in zip(self.data, cells, strict=True):
            cells_of_row.append(cell)

    def get_column(self, name: str | int, convert_to: str | None = None) -> Any:
        """Return a column's cells as a list; as an array with `convert_to="numpy"`. Raises: ValueError."""
        if convert_to not in {None, "numpy"}:
            raise ValueError(f"convert_to {convert_to!r}: must be None or 'numpy'")
        if name not in self.columns:
            raise ValueError(f"column {name!r} is not there; there are {', '.join(map(repr, self.columns))}")
        place = self.columns.index(name)
        cells = [row[place] for row in self.data]
        return np.array(cells) if convert_to else cells

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield each row's number, from 0, and its cells."""
        yield from enumerate(self.data)

    def get_dataframe(self) -> Any:
        """Return the table as a pandas DataFrame. Raises: Error when pandas is missing."""
        try:
            from pandas import DataFrame, Series
        except ImportError:
            raise StepwellError("get_dataframe() needs pandas: pip install pandas") from None
        # Column by column: pandas must not look for one type in lists and arrays of cells.
        columns = {place: Series(self.get_column(name)) for place, name in enumerate(self.columns)}
        return DataFrame(columns).set_axis(self.columns, axis=1)

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the table as Parquet; see `Media.take`. The reference has `columns`, `column_types` and `rows` too."""
        names = _check_names(self.columns, UnstorableError)
        for number, row in enumerate(self.data):
            if len(row) != len(names):
                raise UnstorableError(f"row {number} has {len(row)} values, but the table has {len(names)} columns")
        columns = [[row[place] for row in self.data] for place in range(len(names))]
        shape = {"columns": names, "column_types": [_common_type(cells) for cells in columns], "rows": len(self.data)}
        return {**file_reference(keep, parquet.write(names, columns, keep), parquet.CONTENT_TYPE), **shape}

    def _checked(self, place: int, cell: Any, row: int) -> str:
        """Return a column's type once it holds a cell too. Raises: TypeError."""
        wanted, name = self._types[place], self.columns[place]
        if cell is None:
            if not self._optional[place]:
                raise TypeError(f"column {name!r}, row {row}: is None, and the column is not optional")
            return wanted
        found = _type_of(cell)
        if wanted in {_ANY, found}:
            return wanted
        if wanted != _UNKNOWN:
            raise TypeError(
                f"column {name!r}, row {row}: is of type {found}, but the column holds {wanted}; "
                "allow_mixed_types=True takes both"
            )
        return found


def _of_frame(frame: Any) -> tuple[list[str | int], Iterable[Sequence[Any]]]:
    """Return the names and the rows of a data frame; what is missing is None, but NaN where there are only floats."""
    pandas = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    columns = []
    for place in range(len(pandas.columns)):
        series = pandas.iloc[:, place]
        if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
            columns.append(series.tolist())
        else:
            columns.append([None if gone else cell for cell, gone in zip(series.tolist(), series.isna(), strict=True)])
    names = [name if isinstance(name, str | int) else str(name) for name in pandas.columns]
    return names, zip(*columns, strict=True)


def _cell(value: Any) -> Any:
    """Return a cell as it is kept: foreign figures as media, scalars of array libraries as Python's."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    media = as_media(value)
    if media is not None:
        return media
    if isinstance(value, Enum):
        return _cell(value.value)
    if type(value).__name__ in _MISSING or (isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value)):
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        # Of units that Python has not, numpy's item is a bare integer.
        item = value.item()
        return value if isinstance(item, int) else item
    if is_array(value):
        array = host_array(value)
        return scalar_of(array) if array.shape == () else array
    return value


def _type_of(cell: Any) -> str:
    if isinstance(cell, Media):
        return str(cell.kind)
    if parquet.is_media_cell(cell):
        return f"list of {cell[0].kind}"
    for types, name in _TYPES:
        if isinstance(cell, types):
            return name
    return "array" if is_array(cell) else f"{type(cell).__module__}.{type(cell).__qualname__}"


def _common_type(cells: list[Any]) -> str:
    """Return the type of a column's cells: "null" where all are None, "mixed" where they differ."""
    found = {_type_of(cell) for cell in cells if cell is not None}
    return "null" if not found else found.pop() if len(found) == 1 else _ANY


def _named_type(dtype: Any) -> str:
    """Return the name of a type that a column is declared to hold. Raises: TypeError."""
    if dtype is None or dtype is Any:
        return _UNKNOWN if dtype is None else _ANY
    if dtype == _ANY:
        return _ANY
    if isinstance(dtype, type):
        if issubclass(dtype, Media):
            return str(dtype.kind)
        if issubclass(dtype, np.generic) and np.dtype(dtype).kind in _NUMPY_TYPES:
            return _NUMPY_TYPES[np.dtype(dtype).kind]
        if issubclass(dtype, np.ndarray):
            return "array"
        for types, name in _TYPES:
            if issubclass(dtype, types):
                return name
    raise TypeError(
        f"dtype {dtype!r}: must be a type (int, float, str, bool, datetime, list, dict, an array's, media's)"
    )


def _for_each(given: Any, columns: Sequence[Any], name: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        return [given] * len(columns)
    if len(given) != len(columns):
        raise ValueError(f"{name} has {len(given)} entries, but there are {len(columns)} columns")
    return list(given)


def _check_names(columns: Sequence[str | int], error: type[Exception]) -> list[str]:
    """Return the names as texts. Raises: the error given."""
    names: list[str] = []
    for column in columns:
        if isinstance(column, bool) or not isinstance(column, str | int):
            raise error(f"column {column!r}: a name must be a str or an int")
        if str(column) in names:
            raise error(f"column {column!r} is there twice: names must differ")
        names.append(str(column))
    return names
