"""`ApiRun`: one run read over HTTP, with wandb's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepwell.api.info import CHANGE_WAIT_SECONDS, EXACT, Row, RunInfo, restore_row
from stepwell.api.media import StoredFile, StoredMedia, filter_files, find_file, read_media, read_table
from stepwell.api.paths import run_url
from stepwell.api.rows import Scan, to_dataframe
from stepwell.api.series import points_to_dataframe
from stepwell.console.parsing import ConsoleLine, parse_console_lines, tail_start
from stepwell.errors import ApiError, UnknownKeyError
from stepwell.terminal import notify
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind

if TYPE_CHECKING:
    from stepwell.media.table import Table

PAGE_RUNS: Final = 50
_STREAMS: Final = {"events": "system"}
"""wandb's names of streams."""


class ApiRun(RunInfo):
    """A run in the service: its attributes and its data."""

    def stop(self) -> None:
        """Ask the run to stop: `run.stop_requested` of its process becomes true. Raises: ApiError."""
        self._api.send("POST", run_url(self.run_path, "stop"), wait=CHANGE_WAIT_SECONDS)

    def delete(self, delete_artifacts: bool = False) -> None:
        """Delete the run with all its values, for good; return when it is gone, or after 10 s. Raises: ApiError.

        `delete_artifacts` has no effect: media files that no other run refers to are removed after a grace time.
        """
        del delete_artifacts
        self._api.send("DELETE", run_url(self.run_path), wait=CHANGE_WAIT_SECONDS)

    def metrics(self, writer: str | Sequence[str] | None = None) -> list[Row]:
        """Return the run's metrics: `key`, `kind`, `first_step`, `last_step`, `count`, `writer`.

        Args:
            writer: a writer's name, or several; default: all writers.
        """
        return list(self._api.get(run_url(self.run_path, "metrics"), writer=writer)["metrics"])

    def history(
        self,
        samples: int = 500,
        keys: str | Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        stream: str = "default",
        interpolate: str | None = None,
        writer: str | Sequence[str] | None = None,
    ) -> Any:
        """Return about `samples` sampled rows, as a pandas DataFrame if pandas is installed, or a list of dicts.

        A key that the run has not logged is reported on stderr, and there are no rows, as in wandb. So are older rows
        that the project does not keep; docs/retention.md describes them.

        Args:
            keys: a metric, or several; default: all of the stream. x_axis: the first column.
            stream: `default`, the run's own rows; `system` (wandb's `events`), its system metrics; `console`, its
                console output.
            interpolate: `linear` or `last`: return rows of all steps that have any of the keys, with missing values
                filled in; `_interpolated` lists the filled keys of each row. docs/reading.md has the rules.
            writer: a writer's name, several, or `*`; default: the primary writer of each key. If several of them logged
                the same key, rows have the name of their writer as `_writer`.
        """
        listed = list_names(keys)
        columns = None if listed is None else [*listed, *([] if x_axis.startswith("_") else [x_axis])]
        address = run_url(self.run_path, "history")
        parameters = {"stream": _own_name(stream), "interpolate": interpolate, "writer": writer}
        body = self._api.get(address, samples=samples, key=columns, **parameters, **EXACT)
        self._report_unknown(body["unknown_keys"])
        if "raw_from" in body:
            notify(
                f"rows of {self.run_path} before step {body['raw_from']} are removed; run.series() draws their curves"
            )
        rows = [restore_row(row) for row in body["rows"]]
        if listed and all(key.startswith("_") for key in listed):
            # Names of the service's own columns select no rows, so all keys come back.
            rows = [{key: row[key] for key in (x_axis, *listed) if key in row} for row in rows]
        return to_dataframe(rows, x_axis) if pandas else rows

    def scan_history(
        self,
        keys: str | Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
        use_cache: bool = True,
        stream: str = "default",
        writer: str | Sequence[str] | None = None,
    ) -> Iterator[Row]:
        """Yield every row in step order, unsampled; with `keys`, only rows that have all of them, as wandb does.

        Without keys, yield the rows of a stream; see `history`, also for unknown keys and for `writer`. `use_cache` has
        no effect: rows are read from the service each time.
        """
        del use_cache
        listed = list_names(keys) or None
        given = None if listed is None else [key for key in listed if not key.startswith("_")]
        address = run_url(self.run_path, "scan")
        parameters = {"min_step": min_step, "max_step": max_step, "stream": _own_name(stream), "writer": writer}
        lines = self._api.lines(address, key=given, page_size=page_size, **parameters, **EXACT)
        try:
            for line in lines:
                row = restore_row(line)
                if listed is None:
                    yield row
                elif all(key in row for key in listed):
                    yield {key: row[key] for key in listed}
        except UnknownKeyError as error:
            self._report_unknown(error.keys)

    beta_scan_history = scan_history

    def _report_unknown(self, keys: Sequence[str]) -> None:
        if keys:
            names = ", ".join(map(repr, keys))
            notify(f"the run {self.run_path} has not logged {names}; run.metrics() lists what it has")

    def scan(
        self,
        keys: str | Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        shape: str = "wide",
        having: str = "all",
        cursor: str | None = None,
        **parameters: Any,
    ) -> Scan:
        """Return all rows as Arrow in bounded memory: iterate over it, or call `table()` or `to_pandas()`.

        Many times faster than `scan_history`, which yields dicts.

        Args:
            keys: a metric, or several; default: all of the stream. having: rows that have `all` of the keys, or `any`.
            shape: `wide`, a row per step with a column per key, or `long`, a row per value.
            cursor: the `next` of an earlier scan, to read newer rows only.
            parameters: `stream`, `exact`, `page_size`, and `writer` as of `history`.
        """
        steps = {"min_step": min_step, "max_step": max_step}
        given = {"key": list_names(keys), "shape": shape, "having": having, "cursor": cursor, **steps, **parameters}
        return Scan(self._api, run_url(self.run_path, "scan"), given)

    def series(
        self,
        keys: str | Sequence[str],
        points: int = 1000,
        x: str | None = None,
        pandas: bool = True,
        **parameters: Any,
    ) -> Any:
        """Return series of any length as at most `points` points each: a DataFrame with a row per point.

        Its columns are `key`, `kind`, `x`, `step`, `value`, `min`, `max`, `mean`, `counts`, `nans`, `smoothed` if
        `smoothing` is set, and `writer` if writers are named; docs/sampling.md explains them. Without pandas, returns a
        list of the service's documents.

        Args:
            x: `_step`, `_timestamp`, `_runtime` or a metric.
            parameters: `sampling`, `seed`, `smoothing`, `writer` as of `history`, `min_step` and `max_step`, both
                inclusive; `across="writers"` returns one band over the selected writers for each key, by default all:
                `step`, `mean`, `min`, `max`, `std`, `count`, `low`, `high`, and the names `min_writer`, `max_writer`.

        Raises:
            ApiError: if the run has no such numbers, or the service rejects a parameter.
        """
        steps = {name: parameters.pop(own, None) for name, own in (("from", "min_step"), ("to", "max_step"))}
        address = run_url(self.run_path, "series")
        listed = list_names(keys) or []
        body = self._api.get(address, key=listed, points=points, x=x, **steps, **parameters, **EXACT)
        return points_to_dataframe(body, listed, pandas)

    def media(self, key: str, step: int | None = None) -> list[StoredMedia]:
        """Return the media logged under a key in step order, optionally of one step; lists item by item.

        Each has `step`, `kind`, `reference`, `read()` and `save(path)`. Raises: ApiError if the key has no media.
        """
        return self._media(key, self.metrics(), step)

    def _media(self, key: str, metrics: Sequence[Row], step: int | None = None) -> list[StoredMedia]:
        """Return the media of a key, given the run's metrics."""
        folded = fold_key(key)
        of_key = [metric for metric in metrics if fold_key(metric["key"]) == folded]
        kinds = [str(metric["kind"]) for metric in of_key]
        if not MEDIA_KINDS & set(kinds):
            raise ApiError(f"no media logged under {key!r}" + (f", but {', '.join(kinds)}" if kinds else ""))
        stored = str(of_key[0]["key"])
        address = run_url(self.run_path, "scan")
        parameters: Row = {"key": [stored], "min_step": step, "max_step": step}
        # JSON rows hold one value per key and step; CSV has a column for each kind.
        read = self._api.lines if len(kinds) == 1 else self._api.table_rows
        rows: Iterator[Mapping[str, Any]] = read(address, **parameters)
        return list(read_media(self._api, stored, kinds, rows))

    def table(self, key: str, step: int | None = None) -> Table:
        """Return the last table logged under a key, optionally at one step; media cells are as in `media`.

        Its `get_dataframe()` returns a pandas DataFrame. Raises: ApiError if there is none, or pyarrow is missing.
        """
        tables = [media for media in self.media(key, step) if media.kind == Kind.TABLE]
        if not tables:
            where = "" if step is None else f" at step {step}"
            raise ApiError(f"no table logged under {key!r}{where}")
        return read_table(self._api, tables[-1])

    def file(self, name: str) -> StoredFile:
        """Return a file by its SHA-256, or a name that contains it. Raises: ApiError, MediaMissingError."""
        return find_file(self._api, name)

    def files(
        self, names: str | Sequence[str] | None = None, pattern: str | None = None, per_page: int = PAGE_RUNS
    ) -> list[StoredFile]:
        """Return the files of the run's media, by key; optionally those with a name or several, or matching `%.png`.

        Names have the form `media/<kind>/<key>_<step>_<SHA-256>.png`. For media in table cells see `table`.
        """
        del per_page
        metrics = self.metrics()
        keys = {str(metric["key"]) for metric in metrics if metric["kind"] in MEDIA_KINDS}
        logged = (media for key in sorted(keys) for media in self._media(key, metrics))
        return filter_files((file for media in logged for file in media.files()), list_names(names), pattern)

    def system_metrics(self, samples: int = 500, pandas: bool = True) -> Any:
        """Return about `samples` samples of the system metrics over time; `stepwell.system` lists the units."""
        return self.history(samples, x_axis="_timestamp", pandas=pandas, stream="system")

    def console(self, lines: int | None = None) -> list[ConsoleLine]:
        """Return the run's console output, all of it or the last `lines` lines."""
        first = None if lines is None else tail_start(self.metrics(), lines)
        # Without EXACT, unlike `scan_history`: a line of the text NaN is not a number.
        return list(
            parse_console_lines(self._api.lines(run_url(self.run_path, "scan"), min_step=first, stream="console"))
        )


def list_names(given: str | Iterable[str] | None) -> list[str] | None:
    """Return an argument that names one thing or several as a list."""
    return [given] if isinstance(given, str) else None if given is None else list(given)


def _own_name(stream: str) -> str:
    return _STREAMS.get(stream, stream)
