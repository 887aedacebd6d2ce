"""A lazy list of runs: pages are read as they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, overload

from stepwell.api.run import ApiRun
from stepwell.terminal import notify

Info = Mapping[str, Any]


class Runs(Sequence[ApiRun]):
    """Runs in the requested order; the length is the total when the first page was read.

    Keys of the filter and the order that no run of the project has, such as misspelt ones, are reported on stderr.

    Args:
        page: returns the page at a cursor, None for the first page. build: creates a run from a document.
    """

    def __init__(self, page: Callable[[str | None], Any], build: Callable[[Info], ApiRun]) -> None:
        self._page = page
        self._build = build
        self._runs: list[ApiRun] = []
        self._next: str | None = None
        self._total = 0
        self._given = 0
        self._read(None)

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[ApiRun]:
        index = 0
        while self._reach(index + 1):
            yield self._runs[index]
            index += 1

    def __next__(self) -> ApiRun:
        """Return the first run, and with each further call the following one, as wandb's `next(runs)`."""
        run = next(islice(self, self._given, None))
        self._given += 1
        return run

    next = __next__

    @overload
    def __getitem__(self, index: int) -> ApiRun: ...

    @overload
    def __getitem__(self, index: slice) -> list[ApiRun]: ...

    def __getitem__(self, index: int | slice) -> ApiRun | list[ApiRun]:
        if isinstance(index, int) and 0 <= index < self._total:
            self._reach(index + 1)
        else:
            while self._reach(len(self._runs) + 1):
                pass
        return self._runs[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows while it is read

    def __repr__(self) -> str:
        return f"<Runs {self._total}>"

    def upgrade_to_full(self) -> None:
        """Do nothing: config and summary of a run are read when they are used."""

    def histories(
        self,
        samples: int = 500,
        keys: str | Sequence[str] | None = None,
        x_axis: str = "_step",
        format: Literal["default", "pandas", "polars"] = "default",  # noqa: A002 - wandb's name
        stream: str = "default",
    ) -> Any:
        """Return the `history` of all runs, each row with its `run_id`: a list of dicts, or one DataFrame.

        Raises:
            ValueError: for an unknown format. ImportError: if its library is missing. ApiError.
        """
        if format not in {"default", "pandas", "polars"}:
            raise ValueError(f"format {format!r}: must be default, pandas or polars")
        rows = [
            {**row, "run_id": run.id}
            for run in self
            for row in run.history(samples, keys, x_axis, pandas=False, stream=stream)
        ]
        if format == "default":
            return rows
        if format == "pandas":
            from pandas import DataFrame

            return DataFrame.from_records(rows)
        from polars import from_dicts

        return from_dicts(rows, infer_schema_length=None)

    def _reach(self, count: int) -> bool:
        """Read pages until there are `count` runs; return whether there are."""
        while len(self._runs) < count and self._next is not None:
            self._read(self._next)
        return len(self._runs) >= count

    def _read(self, cursor: str | None) -> None:
        body = self._page(cursor)
        self._runs += [self._build(info) for info in body["runs"]]
        self._next = body["next"]
        if cursor is None:
            self._total = body["total"]
            if unknown := body.get("unknown_keys"):
                notify(f"no run of the project has {', '.join(unknown)}, of the filter or the order")
