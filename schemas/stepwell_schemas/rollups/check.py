"""Check stored rollups against rows computed from the points.

The lowest level is compared with the points, each higher level with the level below. If all levels match, the rollups
follow from the points.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.rebuild import PLACE, Piece, Work, asked_of, closed_rows, pieces, stored_rows
from stepwell_schemas.rollups.sql import DIGEST, VALUES, bucket_of
from stepwell_schemas.rules.identifiers import RunPath

_QUIET_TRIES: Final = 6
_QUIET_SECONDS: Final = 0.5
_SHOWN: Final = 200
_SUSPECTED: Final = 20
_PLACES: Final = "{places:Array(Tuple(String, String, String, String, Int64))}"

Place = tuple[str, str, str, str, int]
"""Entity, project, run, key and bucket."""


class Difference(NamedTuple):
    """A bucket whose stored row differs from the computed one; None stands for a missing row."""

    path: RunPath
    key: str
    level: int
    bucket: int
    stored: dict[str, Any] | None
    computed: dict[str, Any] | None

    @property
    def place(self) -> Place:
        """The bucket's series and number."""
        return (*self.path, self.key, self.bucket)

    @property
    def what(self) -> str:
        """The kind of difference, in a word."""
        return "missing" if self.stored is None else "superfluous" if self.computed is None else "different"


@dataclass
class Checked:
    """The result of a check: the number of buckets compared, the number that differ, and the first of these.

    Until `settled`, `suspects` must be checked again.
    """

    buckets: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)
    suspects: list[tuple[Piece, list[Place]]] = field(default_factory=list)


def check(store: Store, work: Work, found: Checked) -> None:
    """Compare every closed bucket of some runs with rows computed from the points or the level below.

    Raises: StoreError.
    """
    for piece in pieces(store, work):
        sql = (
            f"SELECT count() AS buckets, countIf(differs) AS differing, groupArrayIf({_SHOWN})(({PLACE}), differs)"
            f" AS places FROM (SELECT {PLACE}, count() < 2 OR min(hash) != max(hash) AS differs"
            f" FROM ({_both(piece, '1')}) GROUP BY {PLACE})"
        )
        (row,) = store.query(sql, asked_of(work, piece)).to_pylist()
        found.buckets += row["buckets"]
        found.differing += row["differing"]
        if row["places"] and len(found.suspects) < _SUSPECTED:
            found.suspects.append((piece, [tuple(place.values()) for place in row["places"]]))


def settled(store: Store, found: Checked, sleep: Callable[[float], None] = time.sleep) -> Checked:
    """Check suspects repeatedly until they match or a time limit is reached; return the rest. Raises: StoreError.

    While an ingestor is running, buckets that it has not completed differ for a moment.
    """
    for _ in range(_QUIET_TRIES):
        if not found.suspects:
            break
        sleep(_QUIET_SECONDS)
        again = [(piece, places, _differences(store, piece, places)) for piece, places in found.suspects]
        gone = sum(len(places) - len(differences) for _, places, differences in again)
        found = Checked(
            found.buckets,
            found.differing - gone,
            [one for *_, differences in again for one in differences],
            [(piece, [one.place for one in differences]) for piece, _, differences in again if differences],
        )
    return found


def _differences(store: Store, piece: Piece, places: Sequence[Place]) -> list[Difference]:
    sql = (
        f"SELECT {PLACE}, groupArray(side) AS sides, groupArray(row) AS rows"
        f" FROM ({_both(piece, f'({PLACE}) IN {_PLACES}')}) GROUP BY {PLACE}"
        " HAVING count() < 2 OR min(hash) != max(hash) ORDER BY ALL"
    )
    asked = {"runs": sorted({place[:3] for place in places}), "first": piece.first, "last": piece.last}
    return [_difference(piece, **row) for row in store.query(sql, asked | {"places": places}).to_pylist()]


def _both(piece: Piece, condition: str) -> str:
    """Return the SELECT of stored (side 0) and computed rows (side 1) for a condition on series and bucket."""
    of_source = condition.replace("bucket", bucket_of(piece.level, piece.below))
    return " UNION ALL ".join(
        f"SELECT {PLACE}, {side} AS side, {DIGEST} AS hash, ({', '.join(VALUES)}) AS row FROM ({rows})"
        for side, rows in ((0, stored_rows(piece, condition)), (1, closed_rows(piece, of_source)))
    )


def _difference(
    piece: Piece, entity: str, project: str, run_id: str, key: str, bucket: int, sides: list[int], rows: list[Any]
) -> Difference:
    by_side = {side: dict(zip(VALUES, row.values(), strict=True)) for side, row in zip(sides, rows, strict=True)}
    path = RunPath(entity, project, run_id)
    return Difference(path, key, piece.level, bucket, by_side.get(0), by_side.get(1))
