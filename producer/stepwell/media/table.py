"""`Table`: rows of named columns, whose cells may be media."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from stepwell.errors import StepwellError, UnstorableError
from stepwell.media import parquet
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.cells import ANY, UNKNOWN, cell_of, common_type, named_type, type_of
from stepwell_schemas.rules.kinds import Kind

_DEFAULT_COLUMNS: Final = ("Input", "Output", "Expected")


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
        self._logged = False
        _check_names(self.columns, ValueError)
        self._optional = _for_each(optional, self.columns, "optional")
        types = _for_each(ANY if allow_mixed_types else dtype, self.columns, "dtype")
        self._types = [named_type(one) for one in types]
        for row in given:
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Add a row: one value for each column. Raises: ValueError, TypeError."""
        if len(data) != len(self.columns):
            raise ValueError(
                f"row {len(self.data)} has {len(data)} values, but the table has {len(self.columns)} columns: "
                f"{', '.join(map(repr, self.columns))}"
            )
        row = [cell_of(value) for value in data]
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
        cells = [cell_of(value) for value in data]
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
                self._types[-1] = self._checked(len(self._types) - 1, cell, row)
        except TypeError:
            for parts in (self.columns, self._types, self._optional):
                parts.pop()
            raise
        for cells_of_row, cell in zip(self.data, cells, strict=True):
            cells_of_row.append(cell)

    def add_computed_columns(self, fn: Callable[[int, dict[str | int, Any]], Mapping[str, Any]]) -> None:
        """Add columns that are made of each row.

        Args:
            fn: takes a row's number, from 0, and its cells by column; returns the new cells by the new columns' names,
                the same for each row.

        Raises:
            ValueError: when a row has other names than the first one, or a name is there. TypeError: when `fn` returns
                no mapping, or cells of several types. No column is added then.
        """
        rows = [fn(number, dict(zip(self.columns, row, strict=True))) for number, row in self.iterrows()]
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number}: the new cells must be a dict, not {type(row).__name__}")
            if row.keys() != rows[0].keys():
                raise ValueError(f"row {number} has the new columns {list(row)}, and the first row {list(rows[0])}")
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
        """Let a column hold cells of one type from now on; its name is returned.

        Args:
            dtype: see `Table`. optional: whether cells may be None.

        Raises:
            ValueError: when there is no such column. TypeError: when a cell is of another type; nothing changes then.
        """
        place = self._place(col_name)
        before = self._types[place], self._optional[place]
        self._types[place], self._optional[place] = named_type(dtype), optional
        try:
            for number, row in self.iterrows():
                self._types[place] = self._checked(place, row[place], number)
        except TypeError:
            self._types[place], self._optional[place] = before
            raise
        return self._types[place]

    def get_index(self) -> list[int]:
        """Return the rows' numbers, from 0."""
        return list(range(len(self.data)))

    def index_ref(self, index: int) -> int:
        """Return a row's number as it is: rows of two tables are joined where they are read. Raises: IndexError."""
        if not 0 <= index < len(self.data):
            raise IndexError(f"row {index}: the table has {len(self.data)} rows")
        return index

    def set_pk(self, col_name: str | int) -> None:
        """Only check that the column is there: tables are joined where they are read. Raises: ValueError."""
        self._place(col_name)

    def set_fk(self, col_name: str | int, table: Table, table_col: str | int) -> None:
        """Only check that both columns are there: tables are joined where they are read. Raises: ValueError."""
        self._place(col_name)
        table._place(table_col)

    def has_been_logged(self) -> bool:
        """Whether the table was logged; it may be logged again."""
        return self._logged

    def _place(self, name: str | int) -> int:
        if name not in self.columns:
            raise ValueError(f"column {name!r} is not there; there are {', '.join(map(repr, self.columns))}")
        return self.columns.index(name)

    def get_column(self, name: str | int, convert_to: str | None = None) -> Any:
        """Return a column's cells as a list; as an array with `convert_to="numpy"`. Raises: ValueError."""
        if convert_to not in {None, "numpy"}:
            raise ValueError(f"convert_to {convert_to!r}: must be None or 'numpy'")
        place = self._place(name)
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
        shape = {"columns": names, "column_types": [common_type(cells) for cells in columns], "rows": len(self.data)}
        self._logged = True
        return {**file_reference(keep, parquet.write(names, columns, keep), parquet.CONTENT_TYPE), **shape}

    def _checked(self, place: int, cell: Any, row: int) -> str:
        """Return a column's type once it holds a cell too. Raises: TypeError."""
        wanted, name = self._types[place], self.columns[place]
        if cell is None:
            if not self._optional[place]:
                raise TypeError(f"column {name!r}, row {row}: is None, and the column is not optional")
            return wanted
        found = type_of(cell)
        if wanted in {ANY, found}:
            return wanted
        if wanted != UNKNOWN:
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
