"""The parameters of requests for series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from pydantic import Field

from stepwell_query.api.params.common import TEXT_MAX, AnyFormat, Nan, Parameters, StepBound, check_range
from stepwell_query.encoding import NotFinite
from stepwell_query.errors import RequestError
from stepwell_query.runs.fields import GROUPABLE
from stepwell_query.series.groups.read import check_group_by
from stepwell_query.series.models import POINTS_MAX, Sampling, SeriesRequest
from stepwell_query.settings import QuerySettings
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import check_key


class ViewParameters(Parameters):
    """What a request for views says besides runs and keys."""

    points: int = Field(1_000, ge=1, le=POINTS_MAX, description="Points of each series, at most.")
    low: StepBound = Field(None, alias="from", description="First step, included.")
    high: StepBound = Field(None, alias="to", description="Last step, included.")
    nan: Nan = NotFinite.TEXT

    def of_keys(self, keys: Sequence[str], settings: QuerySettings, runs: int = 1) -> SeriesRequest:
        """Return the request for one run's keys. Raises: RequestError, KeyRuleError."""
        check_range("from", self.low, "to", self.high)
        if not keys:
            raise RequestError("key", None, "is required", "name at least one: key=loss")
        checked = [check_key(key) for key in keys]
        if runs * len(keys) > settings.query_max_series:
            rule = f"{runs:,} runs × {len(keys):,} keys are more than {settings.query_max_series:,} series"
            raise RequestError("key", None, rule, "split the request")
        if runs * len(keys) * self.points > settings.query_max_cells:
            rule = f"{runs * len(keys):,} series × {self.points:,} points are more than {settings.query_max_cells:,}"
            raise RequestError("points", self.points, rule, "ask for fewer points, or split the request")
        return SeriesRequest(checked, self.points, self.low, self.high)


class SeriesParameters(ViewParameters):
    """What a request for series says besides runs and keys."""

    x: str | None = Field(
        None,
        max_length=TEXT_MAX,
        description="The x axis: `_step`, `_timestamp` (seconds since the epoch), `_runtime` (seconds since the run"
        " began), or the key of a number; then the points are those at whose step it was logged too. None: of each"
        " metric the number that `define_metric` named, else `_step`.",
    )
    sampling: Sampling = Field(
        Sampling.BUCKETS,
        description="`buckets`: last value, min, max and mean of even buckets of steps. `lttb`: rows that keep the"
        " shape. `random`: rows drawn by `seed`. `raw`: every row, up to 10,000.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Of `random`: another seed, other rows.")
    smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Weight of an exponential moving average over the whole series, without bias to 0 at its begin;"
        " its values are added as `smoothed`. 0: none.",
    )
    smoothing_parts: int | None = Field(
        None,
        ge=1,
        le=POINTS_MAX,
        description="The weight is that of one of so many even parts of the whole series, where it has more rows: so"
        " the average looks alike however many rows there are. None: of a row.",
    )

    def of_keys(self, keys: Sequence[str], settings: QuerySettings, runs: int = 1) -> SeriesRequest:
        """Return the request for one run's keys. Raises: RequestError, KeyRuleError."""
        x = "_timestamp" if self.x == "_wall" else self.x
        request = super().of_keys(keys, settings, runs)
        return replace(
            request,
            x=x,
            sampling=self.sampling,
            seed=self.seed,
            smoothing=self.smoothing,
            smoothing_parts=self.smoothing_parts,
        )


class RunSeriesQuery(SeriesParameters):
    """The query of GET series."""

    key: list[str] = Field([], description="A metric's key; repeat it for several.")
    format: AnyFormat = None


class ManySeriesBody(SeriesParameters):
    """The body of POST series."""

    runs: list[str] = Field(min_length=1, description="Paths of runs, `entity/project/run_id`.")
    keys: list[str] = Field(min_length=1, description="Keys of metrics, the same for every run.")


class GroupsBody(ViewParameters):
    """The body of POST groups."""

    runs: list[str] = Field([], description="Paths of runs, `entity/project/run_id`; needed unless `groups` has them.")
    keys: list[str] = Field(min_length=1, description="Keys of metrics.")
    group_by: str | None = Field(
        None,
        max_length=TEXT_MAX,
        description="`config.KEY` (`config.optimizer.lr` looks inside), "
        f"{', '.join(f'`{name}`' for name in GROUPABLE)}. None: all runs are one group.",
    )
    groups: dict[str, list[str]] | None = Field(
        None,
        description="In place of `runs` and `group_by`: the paths of each group's runs, by the group's name. A run may"
        " be in several.",
    )
    filled: bool = Field(
        False,
        description="Widen the buckets until a run has a row in each: to the steps between two rows, of the middle one"
        " of a key's runs. So runs that log at different steps meet in one bucket.",
    )

    def paths(self) -> list[RunPath]:
        """Return the runs, each once. Raises: RequestError, RunPathError."""
        return [RunPath.parse(path) for path in dict.fromkeys([*self.runs, *chain(*(self.groups or {}).values())])]

    def values(self) -> dict[RunPath, list[Any]] | None:
        """Return the names of each run's groups, None where the service is to find groups. Raises: RunPathError."""
        if self.groups is None:
            return None
        names: dict[RunPath, list[Any]] = {}
        for name, runs in self.groups.items():
            for run in dict.fromkeys(runs):
                names.setdefault(RunPath.parse(run), []).append(name)
        return names

    def of_runs(self, settings: QuerySettings, runs: int) -> SeriesRequest:
        """Return the request for every run. Raises: RequestError, KeyRuleError."""
        if not runs:
            raise RequestError("runs", None, "is required", "name runs, or groups of them in `groups`")
        if self.groups is not None and (self.runs or self.group_by):
            raise RequestError("groups", len(self.groups), "stands in place of runs and group_by", "leave those out")
        check_group_by(self.group_by)
        return self.of_keys(self.keys, settings, runs)
