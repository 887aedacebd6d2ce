"""A lazy list of runs: pages are read as they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

Run = TypeVar("Run")
Info = Mapping[str, Any]


class Runs(Sequence[Run], Generic[Run]):
    """Runs in the requested order; the length is the total when the first page was read.

    Args:
        page: returns the page at a cursor, None for the first page. build: creates a run from a document.
    """

    def __init__(self, page: Callable[[str | None], Any], build: Callable[[Info], Run]) -> None:
        self._page = page
        self._build = build
        self._runs: list[Run] = []
        self._next: str | None = None
        self._total = 0
        self._read(None)

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Run]:
        index = 0
        while self._reach(index + 1):
            yield self._runs[index]
            index += 1

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
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
