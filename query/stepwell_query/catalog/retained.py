"""The rows and curves of series that retention has left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stepwell_query.catalog.models import SeriesByKey, SeriesInfo
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.retention.boundaries import Boundary, read_boundaries
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import SCALAR_KINDS

_NOTHING_GONE = Boundary()


def add_boundaries(store: Store, series: SeriesByKey) -> SeriesByKey:
    """Return the series with the steps from which each has rows and a curve. Raises: StoreError."""
    found = read_boundaries(store, list(series))
    if not found:
        return series
    return {
        run: {key: [bounded(info, found[run]) for info in infos] for key, infos in by_key.items()}
        if run in found
        else by_key
        for run, by_key in series.items()
    }


def bounded(info: SeriesInfo, boundaries: Mapping[str, Boundary]) -> SeriesInfo:
    """Return a series with the boundary of its writer; media values have none."""
    boundary = boundaries.get(info.writer, _NOTHING_GONE)
    if info.kind not in SCALAR_KINDS or boundary == _NOTHING_GONE:
        return info
    return replace(info, raw_from=boundary.raw_from, curves_from=boundary.curves_from)


def raw_from_json(series: Iterable[SeriesInfo]) -> dict[str, int]:
    """Return the field `raw_from` of an answer: the first step with all values, if retention has removed any."""
    step = max((info.removed_to for info in series), default=0)
    return {"raw_from": step} if step else {}


def boundaries_of(store: Store, runs: Iterable[RunPath]) -> list[tuple[str, str, int, int]]:
    """Return the boundaries of runs as plain values, for the tags of answers. Raises: StoreError."""
    return [
        (str(run), writer, *boundary)
        for run, of_run in read_boundaries(store, list(runs)).items()
        for writer, boundary in of_run.items()
    ]
