"""`Table`: rows of named columns; cells may be media."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from stepwell.errors import StepwellError, UnstorableError
from stepwell.media import parquet
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.cells import ANY, UNKNOWN, cell_type, common_type, parse_dtype, to_table_cell
from stepwell_schemas.rules.kinds import Kind

_DEFAULT_COLUMNS: Final = ("Input", "Output", "Expected")


class Table(Media):
    """A table, stored as a Parquet file of its state when it is logged.

    Args:
        columns: the names; default: those of a data frame, otherwise "Input", "Output", "Expected".
        data: rows, a two-dimensional numpy array, or a pandas DataFrame (or an object with `to_pandas()`).
        rows: the same as `data`. dataframe: a DataFrame, instead of `columns` and `data`; its index is dropped.
        dtype: type of the cells: one type (int, str, list, stepwell.Image, …) for all columns, or a list of types.
            Default: the type of the first cell of each column.
        optional: whether cells may be None: for all columns, or a list.
        allow_mixed_types: accept cells of any type in every column.
        log_mode: ignored, for compatibility with wandb: each `log()` stores the full table.

    A cell is a number, a str, a bool, None, a time, a list, a dict, an array, or media; numpy scalars are converted to
    Python's. Lists and arrays in cells are read when the table is logged.

    Raises:
        ValueError: for a duplicate name, or a row or column of another length. TypeError: for a cell whose type
            differs from its column's. Both are raised immediately, as wandb does.
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
        given = next((source for source in (dataframe, data, rows) if source is not None), ())
        if dataframe is not None or hasattr(given, "to_pandas") or hasattr(given, "iloc"):
            columns, given = _from_dataframe(given)
        self.columns: list[str | int] = list(_DEFAULT_COLUMNS if columns is None else columns)
        self.data: list[list[Any]] = []
        self._logged = False
        _check_names(self.columns, ValueError)
        self._optional = _for_each(optional, self.columns, "optional")
        types = _for_each(ANY if allow_mixed_types else dtype, self.columns, "dtype")
        self._types = [parse_dtype(declared) for declared in types]
        for row in given:
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Add a row: one value per column. Raises: ValueError, TypeError."""
        if len(data) != len(self.columns):
            raise ValueError(
                f"row {len(self.data)} has {len(data)} values, but the table has {len(self.columns)} columns: "
                f"{', '.join(map(repr, self.columns))}"
            )
        row = [to_table_cell(value) for value in data]
        types = [self._check_cell(index, cell, len(self.data)) for index, cell in enumerate(row)]
        self._types = types
        self.data.append(row)

    def add_row(self, *row: Any) -> None:
        """Add a row; the same as `add_data`."""
        self.add_data(*row)

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        """Add a column: a list or an array with a value per row; an empty table gets its rows from it.

        Raises:
            ValueError: if the name exists, or the length differs. TypeError: for cells of several types.
        """
        cells = [to_table_cell(value) for value in data]
        if self.columns and len(cells) != len(self.data):
            raise ValueError(f"column {name!r} has {len(cells)} values, but the table has {len(self.data)} rows")
        _check_names([*self.columns, name], ValueError)
        if not self.columns:
            self.data = [[] for _ in cells]
        self.columns.append(name)
        self._types.append(UNKNOWN)
        self._optional.append(optional)
        try:
            for row, cell in enumerate(cells):
                self._types[-1] = self._check_cell(len(self._types) - 1, cell, row)
        except TypeError:
            for parts in (self.columns, self._types, self._optional):
                parts.pop()
            raise
        for cells_of_row, cell in zip(self.data, cells, strict=True):
            cells_of_row.append(cell)

    def add_computed_columns(self, fn: Callable[[int, dict[str | int, Any]], Mapping[str, Any]]) -> None:
        """Add columns that are computed from each row.

        Args:
            fn: takes a row's number, from 0, and its cells by column; returns the new cells by column name, with the
                same names for each row.

        Raises:
            ValueError: if the names of a row differ from the first one's, or a name exists. TypeError: if `fn` returns
                no mapping, or cells of several types. No column is added in these cases.
        """
        rows = [fn(number, dict(zip(self.columns, row, strict=True))) for number, row in self.iterrows()]
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number}: the new cells must be a dict, not {type(row).__name__}")
            if row.keys() != rows[0].keys():
                raise ValueError(f"row {number} has the new columns {list(row)}, but the first row has {list(rows[0])}")
        names = list(rows[0]) if rows else []
        _check_names([*self.columns, *names], ValueError)
        before = len(self.columns)
        try:
            for name in names:
                self.add_column(name, [row[name] for row in rows])
        except TypeError:
            for cells in self.data:
                del cells[before:]
            del self.columns[before:], self._types[before:], self._optional[before:]
            raise

    def cast(self, col_name: str | int, dtype: Any, optional: bool = False) -> str:
        """Restrict a column to cells of one type, and return the type's name.

        Args:
            dtype: see `Table`. optional: whether cells may be None.

        Raises:
            ValueError: if there is no such column. TypeError: if a cell has another type; the column is unchanged then.
        """
        index = self._column_index(col_name)
        before = self._types[index], self._optional[index]
        self._types[index], self._optional[index] = parse_dtype(dtype), optional
        try:
            for number, row in self.iterrows():
                self._types[index] = self._check_cell(index, row[index], number)
        except TypeError:
            self._types[index], self._optional[index] = before
            raise
        return self._types[index]

    def get_index(self) -> list[int]:
        """Return the rows' numbers, from 0."""
        return list(range(len(self.data)))

    def index_ref(self, index: int) -> int:
        """Return a row's number unchanged: tables are joined when they are read. Raises: IndexError."""
        if not 0 <= index < len(self.data):
            raise IndexError(f"row {index}: the table has {len(self.data)} rows")
        return index

    def set_pk(self, col_name: str | int) -> None:
        """Check that the column exists; no effect otherwise, since tables are joined when read. Raises: ValueError."""
        self._column_index(col_name)

    def set_fk(self, col_name: str | int, table: Table, table_col: str | int) -> None:
        """Check that both columns exist; no effect otherwise, since tables are joined when read. Raises: ValueError."""
        self._column_index(col_name)
        table._column_index(table_col)

    def has_been_logged(self) -> bool:
        """Return whether the table was logged; it may be logged again."""
        return self._logged

    def _column_index(self, name: str | int) -> int:
        if name not in self.columns:
            raise ValueError(f"unknown column {name!r}; the columns are {', '.join(map(repr, self.columns))}")
        return self.columns.index(name)

    def get_column(self, name: str | int, convert_to: str | None = None) -> Any:
        """Return a column's cells as a list, or as an array with `convert_to="numpy"`. Raises: ValueError."""
        if convert_to not in {None, "numpy"}:
            raise ValueError(f"convert_to {convert_to!r}: must be None or 'numpy'")
        index = self._column_index(name)
        cells = [row[index] for row in self.data]
        return np.array(cells) if convert_to else cells

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield each row's number, from 0, and its cells."""
        yield from enumerate(self.data)

    def get_dataframe(self) -> Any:
        """Return the table as a pandas DataFrame. Raises: Error if pandas is missing."""
        try:
            from pandas import DataFrame, Series
        except ImportError:
            raise StepwellError("get_dataframe() needs pandas: pip install pandas") from None
        # Column by column, so that pandas does not infer a common type from cells that are lists or arrays.
        columns = {index: Series(self.get_column(name)) for index, name in enumerate(self.columns)}
        return DataFrame(columns).set_axis(self.columns, axis=1)

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the table as Parquet; see `Media.take`. The reference also has `columns`, `column_types` and `rows`."""
        names = _check_names(self.columns, UnstorableError)
        for number, row in enumerate(self.data):
            if len(row) != len(names):
                raise UnstorableError(f"row {number} has {len(row)} values, but the table has {len(names)} columns")
        columns = [[row[index] for row in self.data] for index in range(len(names))]
        shape = {"columns": names, "column_types": [common_type(cells) for cells in columns], "rows": len(self.data)}
        self._logged = True
        return {**file_reference(keep, parquet.write(names, columns, keep), parquet.CONTENT_TYPE), **shape}

    def _check_cell(self, column: int, cell: Any, row: int) -> str:
        """Return the column's type after adding a cell. Raises: TypeError."""
        expected, name = self._types[column], self.columns[column]
        if cell is None:
            if not self._optional[column]:
                raise TypeError(f"column {name!r}, row {row}: is None, but the column is not optional")
            return expected
        actual = cell_type(cell)
        if expected in {ANY, actual}:
            return expected
        if expected != UNKNOWN:
            raise TypeError(
                f"column {name!r}, row {row}: has type {actual}, but the column holds {expected}; "
                "allow_mixed_types=True accepts both"
            )
        return actual


def _from_dataframe(frame: Any) -> tuple[list[str | int], Iterable[Sequence[Any]]]:
    """Return the names and rows of a data frame; missing values are None, or NaN in float columns."""
    pandas = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    columns = []
    for index in range(len(pandas.columns)):
        series = pandas.iloc[:, index]
        if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
            columns.append(series.tolist())
        else:
            cells = zip(series.tolist(), series.isna(), strict=True)
            columns.append([None if missing else cell for cell, missing in cells])
    names = [name if isinstance(name, str | int) else str(name) for name in pandas.columns]
    return names, zip(*columns, strict=True)


def _for_each(given: Any, columns: Sequence[Any], name: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        return [given] * len(columns)
    if len(given) != len(columns):
        raise ValueError(f"{name} has {len(given)} entries, but there are {len(columns)} columns")
    return list(given)


def _check_names(columns: Sequence[str | int], error: type[Exception]) -> list[str]:
    """Return the names as texts. Raises: `error`."""
    names: list[str] = []
    for column in columns:
        if isinstance(column, bool) or not isinstance(column, str | int):
            raise error(f"column {column!r}: a name must be a str or an int")
        if str(column) in names:
            raise error(f"column {column!r} appears twice: names must be unique")
        names.append(str(column))
    return names
