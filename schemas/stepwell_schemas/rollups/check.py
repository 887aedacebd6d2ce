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
from stepwell_schemas.rollups.rebuild import (
    BUCKET_ID,
    BucketRange,
    Work,
    bucket_ranges,
    computed_rows,
    range_parameters,
    stored_rows,
)
from stepwell_schemas.rollups.sql import DIGEST, VALUES, bucket_sql
from stepwell_schemas.rules.identifiers import RunPath

_QUIET_TRIES: Final = 6
_QUIET_SECONDS: Final = 0.5
_SHOWN: Final = 200
_SUSPECTED: Final = 20
_PLACES: Final = "{places:Array(Tuple(String, String, String, String, String, Int64))}"

BucketId = tuple[str, str, str, str, str, int]
"""Entity, project, run, key, writer and bucket."""


class Difference(NamedTuple):
    """A bucket whose stored row differs from the computed one; None stands for a missing row."""

    path: RunPath
    key: str
    writer: str
    level: int
    bucket: int
    stored: dict[str, Any] | None
    computed: dict[str, Any] | None

    @property
    def place(self) -> BucketId:
        """The bucket's series and number."""
        return (*self.path, self.key, self.writer, self.bucket)

    @property
    def what(self) -> str:
        """The kind of difference, in a word."""
        return "missing" if self.stored is None else "superfluous" if self.computed is None else "different"


@dataclass
class CheckResult:
    """The result of a check: the number of buckets compared, the number that differ, and the first of these.

    Until `settled`, `suspects` must be checked again.
    """

    buckets: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)
    suspects: list[tuple[BucketRange, list[BucketId]]] = field(default_factory=list)


def check(store: Store, work: Work, found: CheckResult) -> None:
    """Compare every closed bucket of some runs with rows computed from the points or the level below.

    Raises: StoreError.
    """
    for buckets in bucket_ranges(store, work):
        sql = (
            f"SELECT count() AS buckets, countIf(differs) AS differing, groupArrayIf({_SHOWN})(({BUCKET_ID}), differs)"
            f" AS places FROM (SELECT {BUCKET_ID}, count() < 2 OR min(hash) != max(hash) AS differs"
            f" FROM ({_both(buckets, '1')}) GROUP BY {BUCKET_ID})"
        )
        (row,) = store.query(sql, range_parameters(work, buckets)).to_pylist()
        found.buckets += row["buckets"]
        found.differing += row["differing"]
        if row["places"] and len(found.suspects) < _SUSPECTED:
            found.suspects.append((buckets, [tuple(place.values()) for place in row["places"]]))


def settled(store: Store, found: CheckResult, sleep: Callable[[float], None] = time.sleep) -> CheckResult:
    """Check suspects repeatedly until they match or a time limit is reached; return the rest. Raises: StoreError.

    While an ingestor is running, buckets that it has not completed differ for a moment.
    """
    for _ in range(_QUIET_TRIES):
        if not found.suspects:
            break
        sleep(_QUIET_SECONDS)
        again = [(buckets, places, _differences(store, buckets, places)) for buckets, places in found.suspects]
        gone = sum(len(places) - len(differences) for _, places, differences in again)
        found = CheckResult(
            found.buckets,
            found.differing - gone,
            [one for *_, differences in again for one in differences],
            [(buckets, [one.place for one in differences]) for buckets, _, differences in again if differences],
        )
    return found


def _differences(store: Store, buckets: BucketRange, places: Sequence[BucketId]) -> list[Difference]:
    sql = (
        f"SELECT {BUCKET_ID}, groupArray(side) AS sides, groupArray(row) AS rows"
        f" FROM ({_both(buckets, f'({BUCKET_ID}) IN {_PLACES}')}) GROUP BY {BUCKET_ID}"
        " HAVING count() < 2 OR min(hash) != max(hash) ORDER BY ALL"
    )
    asked = {"runs": sorted({place[:3] for place in places}), "first": buckets.first, "last": buckets.last}
    return [_difference(buckets, **row) for row in store.query(sql, asked | {"places": places}).to_pylist()]


def _both(buckets: BucketRange, condition: str) -> str:
    """Return the SELECT of stored (side 0) and computed rows (side 1) for a condition on series and bucket."""
    of_source = condition.replace("bucket", bucket_sql(buckets.level, buckets.below))
    return " UNION ALL ".join(
        f"SELECT {BUCKET_ID}, {side} AS side, {DIGEST} AS hash, ({', '.join(VALUES)}) AS row FROM ({rows})"
        for side, rows in ((0, stored_rows(buckets, condition)), (1, computed_rows(buckets, of_source)))
    )


def _difference(
    buckets: BucketRange,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    writer: str,
    bucket: int,
    sides: list[int],
    rows: list[Any],
) -> Difference:
    by_side = {side: dict(zip(VALUES, row.values(), strict=True)) for side, row in zip(sides, rows, strict=True)}
    path = RunPath(entity, project, run_id)
    return Difference(path, key, writer, buckets.level, bucket, by_side.get(0), by_side.get(1))
