"""Series for drawing: the requested metrics of one or many runs with at most `points` points each.

The number of statements does not depend on the number of runs and keys: one or two read which series the runs have,
a few more read the buckets of the views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stepwell_query.catalog.models import Activity, Document, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import build_progress
from stepwell_query.catalog.retained import add_boundaries
from stepwell_query.catalog.writers import EVERY
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.known_rows import Known
from stepwell_query.series.models import DRAWN_TABLES, Axis, RunSeries, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.smoothing import add_moving_averages
from stepwell_query.series.targets import SeriesTarget, check_number
from stepwell_query.series.views import SeriesViewBuilder
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.metric_definitions import find_definition
from stepwell_schemas.rules.writers import UNNAMED

_AXES = frozenset(Axis)


def read_series(
    store: Store,
    runs: Sequence[RunPath],
    activity: Mapping[RunPath, Activity],
    request: SeriesRequest,
    limits: QueryLimits,
    known: Known,
) -> list[RunSeries]:
    """Read the requested series of the runs that exist, in order; `activity` has the stored progress of each run.

    Raises:
        RequestError: when `x` is not a number of any run or does not support `sampling`, or when a series has too many
            rows for the sampling.
        StoreError: when ClickHouse does not answer, or a limit is reached.
        ClientGoneError: when the client has disconnected.
    """
    _check_axis(request)
    with_documents = _needs_documents(runs, activity, request)
    documents, series_by_run = known.runs.read(
        store, runs, activity, request.keys, request.writers, documents=with_documents
    )
    series_by_run = add_boundaries(store, series_by_run)
    existing = [run for run in runs if run in activity or run in documents]
    x_names = _x_names(existing, documents, request)
    axes: SeriesByKey = {run: {} for run in existing}
    if x_names:
        _, axes = known.runs.read(store, existing, activity, x_names, EVERY, documents=False)
        axes = add_boundaries(store, axes)
    if request.x is not None and request.x not in _AXES and existing:
        _check_found(existing, request.x, axes)
    series = {run: _unique(series_by_run[run], request.keys) for run in existing}
    progress = {run: build_progress(activity.get(run), documents.get(run)) for run in existing}
    targets = [
        SeriesTarget(run, info, _axis(info, axes[run], documents.get(run), request), progress[run].started_ms)
        for run in existing
        for info in series[run]
        if info.kind in DRAWN_TABLES
    ]
    check_number(len(targets), request)
    series_views = SeriesViewBuilder(store, request, limits, known.rows.of(activity)).views(targets)
    series_views = add_moving_averages(store, request, limits, targets, series_views)
    views: dict[RunPath, list[SeriesView]] = {run: [] for run in existing}
    for target, view in zip(targets, series_views, strict=True):
        views[target.run].append(view)
    return [
        RunSeries(
            run,
            request,
            views[run],
            undrawn=[info for info in series[run] if info.kind not in DRAWN_TABLES],
            unknown=[key for key in dict.fromkeys(request.keys) if not series_by_run[run][key]],
            progress=progress[run],
        )
        for run in existing
    ]


def _needs_documents(runs: Sequence[RunPath], activity: Mapping[RunPath, Activity], request: SeriesRequest) -> bool:
    """Return True if run documents are needed: for x axes of metrics, start times, or the existence of a run."""
    return request.x in {None, Axis.RUNTIME} or any(run not in activity for run in runs)


def _check_axis(request: SeriesRequest) -> None:
    x, sampling = request.x, request.sampling
    if x is None or x == Axis.STEP or sampling in {Sampling.BUCKETS, Sampling.RAW}:
        return
    if sampling is Sampling.LTTB or x not in _AXES:
        rule = f"sampling={sampling} selects rows by their steps and can't be used over {x!r}"
        raise RequestError("x", x, rule, "send x=_step, or sampling=buckets")


def _x_names(runs: Iterable[RunPath], documents: Mapping[RunPath, Document], request: SeriesRequest) -> list[str]:
    """Return the keys of metrics that may be x axes of the series."""
    if request.x is not None:
        return [] if request.x in _AXES else [request.x]
    if request.sampling in {Sampling.LTTB, Sampling.RANDOM}:
        return []
    named = {
        find_definition(key, documents[run].definitions).step_metric
        for run in runs
        if run in documents and documents[run].definitions
        for key in request.keys
    }
    return sorted(name for name in named if name is not None and name not in _AXES)


def _axis(
    info: SeriesInfo, axes: Mapping[str, list[SeriesInfo]], document: Document | None, request: SeriesRequest
) -> Axis | SeriesInfo | None:
    """Return the x axis of a series; None if its run has no number with the requested key."""
    if request.x is not None:
        return Axis(request.x) if request.x in _AXES else _number(axes[request.x], info.writer)
    name = find_definition(info.key, document.definitions).step_metric if document else None
    if name is None or request.sampling is Sampling.LTTB:
        return Axis.STEP
    if name in _AXES:
        return Axis(name)
    x = _number(axes.get(name, []), info.writer)
    # A metric over itself is drawn over its steps.
    return Axis.STEP if x is None or x == info else x


def _number(series: Iterable[SeriesInfo], writer: str = UNNAMED) -> SeriesInfo | None:
    """Return the number that a writer logged, otherwise that of the first writer in order."""
    numbers = [info for info in series if info.kind is Kind.NUMBER]
    return next((info for info in numbers if info.writer == writer), numbers[0] if numbers else None)


def _check_found(runs: Sequence[RunPath], x: str, axes: SeriesByKey) -> None:
    if all(_number(axes[run][x]) is None for run in runs):
        rule = "is neither _step, _timestamp or _runtime nor a number that the run logged"
        raise RequestError("x", x, rule, f"GET /api/v1/runs/{runs[0]}/metrics lists what it logged")


def _unique(series_by_run: Mapping[str, list[SeriesInfo]], keys: Sequence[str]) -> list[SeriesInfo]:
    """Return the series of the keys without duplicates."""
    return list({(info.key, info.kind, info.writer): info for key in keys for info in series_by_run[key]}.values())
