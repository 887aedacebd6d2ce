"""Series for drawing: the asked metrics of one or many runs by at most `points` points each.

A request costs a few statements, however many runs and keys it names: what the runs have, then what the views need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stepwell_query.catalog.models import Activity, Document, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import build_progress
from stepwell_query.catalog.series import find_series, read_documents_and_series
from stepwell_query.errors import RequestError
from stepwell_query.series.bucket_reader import DRAWN_TABLES
from stepwell_query.series.models import Axis, RunSeries, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.smoothing import with_averages
from stepwell_query.series.targets import Wanted
from stepwell_query.series.views import Viewer
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.metric_definitions import definition_of

_AXES = frozenset(Axis)


def read_series(
    store: Store,
    runs: Sequence[RunPath],
    activity: Mapping[RunPath, Activity],
    request: SeriesRequest,
    max_seconds: float,
) -> list[RunSeries]:
    """Read the asked series of those runs that exist, in order; `activity` says how far they are stored.

    Raises:
        RequestError: when `x` names no number of any run or does not go with `sampling`, or when a series has too many
            rows for the sampling.
        StoreError: when ClickHouse does not answer, or a limit is reached.
    """
    _check_axis(request)
    documents: dict[RunPath, Document] = {}
    if _needs_documents(runs, activity, request):
        documents, found = read_documents_and_series(store, runs, request.keys)
    else:
        found = find_series(store, runs, request.keys)
    known = [run for run in runs if run in activity or run in documents]
    if x_names := _x_names(known, documents, request):
        for run, series_of_x in find_series(store, known, x_names).items():
            found[run] = series_of_x | found[run]
    if request.x is not None and request.x not in _AXES and known:
        _check_found(known, request.x, found)
    series = {run: _unique(found[run], request.keys) for run in known}
    progress = {run: build_progress(activity.get(run), documents.get(run)) for run in known}
    wanted = [
        Wanted(run, info, _axis(info, found[run], documents.get(run), request), progress[run].started_ms)
        for run in known
        for info in series[run]
        if info.kind in DRAWN_TABLES
    ]
    found_views = Viewer(store, request, max_seconds).views(wanted)
    found_views = with_averages(store, request, max_seconds, wanted, found_views)
    views: dict[RunPath, list[SeriesView]] = {run: [] for run in known}
    for one, view in zip(wanted, found_views, strict=True):
        views[one.run].append(view)
    return [
        RunSeries(
            run,
            request,
            views[run],
            undrawn=[info for info in series[run] if info.kind not in DRAWN_TABLES],
            unknown=[key for key in dict.fromkeys(request.keys) if not found[run][key]],
            progress=progress[run],
        )
        for run in known
    ]


def _needs_documents(runs: Sequence[RunPath], activity: Mapping[RunPath, Activity], request: SeriesRequest) -> bool:
    """Whether documents count: they name metrics' own axes, say when runs began, and prove that there is a run."""
    return request.x in {None, Axis.RUNTIME} or any(run not in activity for run in runs)


def _check_axis(request: SeriesRequest) -> None:
    x, sampling = request.x, request.sampling
    if x is None or x == Axis.STEP or sampling in {Sampling.BUCKETS, Sampling.RAW}:
        return
    if sampling is Sampling.LTTB or x not in _AXES:
        rule = f"sampling={sampling} picks rows by their steps and can't draw them over {x!r}"
        raise RequestError("x", x, rule, "send x=_step, or sampling=buckets")


def _x_names(runs: Iterable[RunPath], documents: Mapping[RunPath, Document], request: SeriesRequest) -> list[str]:
    """Return the keys of metrics that the series may be drawn over."""
    if request.x is not None:
        return [] if request.x in _AXES else [request.x]
    if request.sampling in {Sampling.LTTB, Sampling.RANDOM}:
        return []
    named = {
        definition_of(key, documents[run].definitions).step_metric
        for run in runs
        if run in documents and documents[run].definitions
        for key in request.keys
    }
    return sorted(name for name in named if name is not None and name not in _AXES)


def _axis(
    info: SeriesInfo, found: Mapping[str, list[SeriesInfo]], document: Document | None, request: SeriesRequest
) -> Axis | SeriesInfo | None:
    """Return what a series is drawn over; None where its run has no number of the name that was asked for."""
    if request.x is not None:
        return Axis(request.x) if request.x in _AXES else _number(found[request.x])
    name = definition_of(info.key, document.definitions).step_metric if document else None
    if name is None or request.sampling is Sampling.LTTB:
        return Axis.STEP
    if name in _AXES:
        return Axis(name)
    x = _number(found.get(name, []))
    # A metric over itself is one over its steps.
    return Axis.STEP if x is None or x == info else x


def _number(series: Iterable[SeriesInfo]) -> SeriesInfo | None:
    return next((info for info in series if info.kind is Kind.NUMBER), None)


def _check_found(runs: Sequence[RunPath], x: str, found: SeriesByKey) -> None:
    if all(_number(found[run][x]) is None for run in runs):
        rule = "is neither _step, _timestamp or _runtime nor a number that the run logged"
        raise RequestError("x", x, rule, f"GET /api/v1/runs/{runs[0]}/metrics lists what it logged")


def _unique(found: Mapping[str, list[SeriesInfo]], keys: Sequence[str]) -> list[SeriesInfo]:
    """Return the series that the keys name, each once."""
    return list({(info.key, info.kind): info for key in keys for info in found[key]}.values())
