"""Parameters of requests for series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

from pydantic import Field

from stepwell_query.api.params.common import (
    TEXT_MAX,
    AnyFormat,
    Names,
    Nan,
    Parameters,
    StepBound,
    WriterNames,
    check_range,
)
from stepwell_query.catalog.writers import EVERY, WriterSelection
from stepwell_query.encoding import NotFinite
from stepwell_query.errors import RequestError
from stepwell_query.runs.fields import GROUPABLE
from stepwell_query.series.groups.read import BY_WRITER, check_group_by
from stepwell_query.series.models import POINTS_MAX, Sampling, SeriesRequest
from stepwell_query.settings import QuerySettings
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import check_key


class ViewParameters(Parameters):
    """Parameters of all requests for views, besides runs and keys."""

    points: int = Field(1_000, ge=1, le=POINTS_MAX, description="Maximum points of each series.")
    step_from: StepBound = Field(None, alias="from", description="First step, inclusive.")
    step_to: StepBound = Field(None, alias="to", description="Last step, inclusive.")
    nan: Nan = NotFinite.TEXT

    def to_request(self, keys: Sequence[str], settings: QuerySettings, runs: int = 1) -> SeriesRequest:
        """Return the request to each run. Raises: RequestError, KeyRuleError."""
        check_range("from", self.step_from, "to", self.step_to)
        if not keys:
            raise RequestError("key", None, "is required", "name at least one: key=loss")
        checked = [check_key(key) for key in keys]
        if runs * len(keys) > settings.query_max_series:
            rule = f"{runs:,} runs × {len(keys):,} keys are more than {settings.query_max_series:,} series"
            raise RequestError("key", None, rule, "split the request")
        if runs * len(keys) * self.points > settings.query_max_cells:
            rule = f"{runs * len(keys):,} series × {self.points:,} points are more than {settings.query_max_cells:,}"
            raise RequestError("points", self.points, rule, "ask for fewer points, or split the request")
        most = min(settings.query_max_series, settings.query_max_cells // self.points)
        return SeriesRequest(checked, self.points, self.step_from, self.step_to, most_series=most)


class SeriesParameters(ViewParameters):
    """Parameters of requests for series, besides runs and keys."""

    writer: WriterNames = ()
    x: str | None = Field(
        None,
        max_length=TEXT_MAX,
        description="The x axis: `_step`, `_timestamp` (seconds since the epoch), `_runtime` (seconds since the start"
        " of the run), or the key of a number; points are then at the steps that have a value of both. Default: for"
        " each metric the number that `define_metric` names, otherwise `_step`.",
    )
    sampling: Sampling = Field(
        Sampling.BUCKETS,
        description="`buckets`: last value, min, max and mean of equal buckets of steps. `lttb`: rows that preserve the"
        " shape. `random`: random rows, selected by `seed`. `raw`: all rows, at most 10,000.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of `random`; the same seed selects the same rows.")
    smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Weight of an exponential moving average over the whole series, without bias towards 0 at its start"
        "; its values are returned as `smoothed`. 0: none.",
    )
    smoothing_parts: int | None = Field(
        None,
        ge=1,
        le=POINTS_MAX,
        description="Apply the weight to each of this many equal parts of the whole series instead of to each row, if"
        " it has more rows, so that the smoothing does not depend on the number of rows. Default: to each row.",
    )

    def to_request(self, keys: Sequence[str], settings: QuerySettings, runs: int = 1) -> SeriesRequest:
        """Return the request to each run. Raises: RequestError, KeyRuleError."""
        x = "_timestamp" if self.x == "_wall" else self.x
        request = super().to_request(keys, settings, runs)
        return replace(
            request,
            x=x,
            sampling=self.sampling,
            seed=self.seed,
            smoothing=self.smoothing,
            smoothing_parts=self.smoothing_parts,
            writers=WriterSelection.parse(self.writer),
        )


class RunSeriesQuery(SeriesParameters):
    """The query of GET series."""

    key: list[str] = Field([], description="Key of a metric; repeat it for several metrics.")
    across: Literal["writers"] | None = Field(
        None,
        description="`writers`: aggregate each metric over the selected writers, by default all, instead of returning a"
        " series for each. A writer contributes the mean of its finite values to a bucket; `mean`, `min`, `max` and"
        " `std` are over these means, `count` is the number of writers. `min_writer` and `max_writer` are the indexes"
        " of the writers of the extremes in `writers`.",
    )
    format: AnyFormat = None


class ManySeriesBody(SeriesParameters):
    """The body of POST series."""

    runs: Names = Field(min_length=1, description="Paths of runs, `entity/project/run_id`.")
    keys: Names = Field(min_length=1, description="Keys of metrics, the same for every run.")


class GroupsBody(ViewParameters):
    """The body of POST groups."""

    runs: Names = Field([], description="Paths of runs, `entity/project/run_id`; required unless `groups` is sent.")
    keys: Names = Field(min_length=1, description="Keys of metrics.")
    group_by: str | None = Field(
        None,
        max_length=TEXT_MAX,
        description=f"`config.KEY` (nested: `config.optimizer.lr`), {', '.join(f'`{name}`' for name in GROUPABLE)},"
        " or `writer`: a group for each writer, by default of all. Default: all runs are one group.",
    )
    writer: WriterNames = ()
    groups: dict[str, Names] | None = Field(
        None,
        description="Instead of `runs` and `group_by`: the paths of each group's runs, by the group's name. A run may"
        " be in several groups.",
    )
    filled: bool = Field(
        False,
        description="Widen the buckets to the median distance between two rows over a key's runs, so that runs that log"
        " at different steps share buckets.",
    )

    def paths(self) -> list[RunPath]:
        """Return the distinct runs. Raises: RequestError, RunPathError."""
        return [RunPath.parse(path) for path in dict.fromkeys([*self.runs, *chain(*(self.groups or {}).values())])]

    def group_names(self) -> dict[RunPath, list[Any]] | None:
        """Return the names of each run's groups, None if runs are grouped by a field. Raises: RunPathError."""
        if self.groups is None:
            return None
        names: dict[RunPath, list[Any]] = {}
        for name, runs in self.groups.items():
            for run in dict.fromkeys(runs):
                names.setdefault(RunPath.parse(run), []).append(name)
        return names

    def to_group_request(self, settings: QuerySettings, runs: int) -> SeriesRequest:
        """Return the request to each run. Raises: RequestError, KeyRuleError."""
        if not runs:
            raise RequestError("runs", None, "is required", "name runs, or groups of them in `groups`")
        if self.groups is not None and (self.runs or self.group_by):
            raise RequestError(
                "groups",
                len(self.groups),
                "can't be combined with runs or group_by",
                "send either groups, or runs and group_by",
            )
        check_group_by(self.group_by)
        writers = WriterSelection.parse(self.writer)
        if self.group_by == BY_WRITER and writers.is_primary:
            writers = EVERY
        return replace(self.to_request(self.keys, settings, runs), writers=writers)
