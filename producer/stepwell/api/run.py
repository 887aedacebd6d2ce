"""`ApiRun`: one run read over HTTP, with wandb's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from stepwell.api.http import ApiHttp
from stepwell.api.media import StoredFile, StoredMedia, filter_files, find_file, read_media, read_table
from stepwell.api.rows import Scan, to_dataframe
from stepwell.api.series import points_to_dataframe
from stepwell.console.parsing import ConsoleLine, parse_console_lines, tail_start
from stepwell.errors import ApiError
from stepwell.values.arrays import restore_value
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind

if TYPE_CHECKING:
    from stepwell.media.table import Table

PAGE_RUNS: Final = 50
EXACT: Final = {"nan": "literal"}
"""Request NaN and ±Inf as bare words, which Python's JSON parses as floats, so that the text "NaN" stays a text."""

Row = dict[str, Any]


class ApiRun:
    """A run in the service; `info` is the service's JSON document."""

    def __init__(self, api: ApiHttp, path: RunPath, info: Mapping[str, Any]) -> None:
        self._api = api
        self.run_path = path
        self.info = info

    def __repr__(self) -> str:
        return f"<Run {self.run_path} ({self.state})>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run_path.run_id

    @property
    def entity(self) -> str:
        """The entity that the run belongs to."""
        return self.run_path.entity

    @property
    def project(self) -> str:
        """The run's project."""
        return self.run_path.project

    @property
    def path(self) -> list[str]:
        """Entity, project and run id."""
        return list(self.run_path)

    @property
    def name(self) -> str:
        """The display name."""
        return str(self.info.get("name") or self.id)

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed` or `crashed`."""
        return str(self.info.get("state", ""))

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return list(self.info.get("tags") or [])

    @property
    def config(self) -> Row:
        """The run's configuration."""
        return dict(self._full_info().get("config") or {})

    @property
    def summary(self) -> Row:
        """Each metric's last value, or the summary that `define_metric` requests."""
        return _row(self._full_info().get("summary") or {})

    def _full_info(self) -> Mapping[str, Any]:
        """Return the document with the full config and summary; lists of runs hold 500 columns of them."""
        if self.info.get("partial"):
            self.info = self._api.get(run_url(self.run_path), **EXACT)
        return self.info

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - wandb's name
        """The last logged step; -1 if there is none."""
        last = self.info.get("last_step")
        return -1 if last is None else int(last)

    def metrics(self, writer: str | Sequence[str] | None = None) -> list[Row]:
        """Return the run's metrics: `key`, `kind`, `first_step`, `last_step`, `count`, `writer`.

        Args:
            writer: a writer's name, or several; default: all writers.
        """
        return list(self._api.get(run_url(self.run_path, "metrics"), writer=writer)["metrics"])

    def history(
        self,
        samples: int = 500,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        stream: str = "default",
        interpolate: str | None = None,
        writer: str | Sequence[str] | None = None,
    ) -> Any:
        """Return about `samples` sampled rows, as a pandas DataFrame if pandas is installed, or a list of dicts.

        Args:
            keys: the metrics; default: all of the stream. x_axis: the first column.
            stream: `default`, the run's own rows; `system`, its system metrics; `console`, its console output.
            interpolate: `linear` or `last`: return rows of all steps that have any of the keys, with missing values
                filled in; `_interpolated` lists the filled keys of each row. docs/reading.md has the rules.
            writer: a writer's name, several, or `*`; default: the primary writer of each key. If several of them logged
                the same key, rows have the name of their writer as `_writer`.
        """
        columns = None if keys is None else [*keys, *([] if x_axis.startswith("_") else [x_axis])]
        address = run_url(self.run_path, "history")
        parameters = {"stream": stream, "interpolate": interpolate, "writer": writer}
        body = self._api.get(address, samples=samples, key=columns, **parameters, **EXACT)
        rows = [_row(row) for row in body["rows"]]
        return to_dataframe(rows, x_axis) if pandas else rows

    def scan_history(
        self,
        keys: Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
        stream: str = "default",
        writer: str | Sequence[str] | None = None,
    ) -> Iterator[Row]:
        """Yield every row in step order, unsampled; with `keys`, only rows that have all of them, as wandb does.

        Without keys, yield the rows of a stream; see `history`, also for `writer`.
        """
        given = None if keys is None else [key for key in keys if not key.startswith("_")]
        address = run_url(self.run_path, "scan")
        parameters = {"min_step": min_step, "max_step": max_step, "stream": stream, "writer": writer}
        for line in self._api.lines(address, key=given, page_size=page_size, **parameters, **EXACT):
            row = _row(line)
            if keys is None:
                yield row
            elif all(key in row for key in keys):
                yield {key: row[key] for key in keys}

    def scan(
        self,
        keys: Sequence[str] | None = None,
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
            keys: the metrics; default: all of the stream. having: rows that have `all` of the keys, or `any`.
            shape: `wide`, a row per step with a column per key, or `long`, a row per value.
            cursor: the `next` of an earlier scan, to read newer rows only.
            parameters: `stream`, `exact`, `page_size`, and `writer` as of `history`.
        """
        steps = {"min_step": min_step, "max_step": max_step}
        given = {"key": keys, "shape": shape, "having": having, "cursor": cursor, **steps, **parameters}
        return Scan(self._api, run_url(self.run_path, "scan"), given)

    def series(
        self, keys: Sequence[str], points: int = 1000, x: str | None = None, pandas: bool = True, **parameters: Any
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
        body = self._api.get(address, key=list(keys), points=points, x=x, **steps, **parameters, **EXACT)
        return points_to_dataframe(body, keys, pandas)

    def media(self, key: str, step: int | None = None) -> list[StoredMedia]:
        """Return the media logged under a key in step order, optionally of one step; lists item by item.

        Each has `step`, `kind`, `reference`, `read()` and `save(path)`. Raises: ApiError if the key has no media.
        """
        folded = fold_key(key)
        metrics = [metric for metric in self.metrics() if fold_key(metric["key"]) == folded]
        kinds = [str(metric["kind"]) for metric in metrics]
        if not MEDIA_KINDS & set(kinds):
            raise ApiError(f"no media logged under {key!r}" + (f", but {', '.join(kinds)}" if kinds else ""))
        stored = str(metrics[0]["key"])
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
        self, names: Sequence[str] | None = None, pattern: str | None = None, per_page: int = PAGE_RUNS
    ) -> list[StoredFile]:
        """Return the files of the run's media, by key; optionally those with these names, or matching `%.png`.

        Names have the form `media/<kind>/<key>_<step>_<SHA-256>.png`. For media in table cells see `table`.
        """
        del per_page
        keys = {str(metric["key"]) for metric in self.metrics() if metric["kind"] in MEDIA_KINDS}
        logged = (media for key in sorted(keys) for media in self.media(key))
        return filter_files((file for media in logged for file in media.files()), names, pattern)

    @property
    def url(self) -> str:
        """The URL of the run's page."""
        return f"{self._api.base_url}/{run_url(self.run_path).partition('/')[2]}"

    @property
    def notes(self) -> str:
        """The notes."""
        return str(self.info.get("notes") or "")

    @property
    def group(self) -> str:
        """The run's group."""
        return str(self.info.get("group") or "")

    @property
    def job_type(self) -> str:
        """The run's job type."""
        return str(self.info.get("job_type") or "")

    @property
    def program(self) -> str:
        """The script: its path in its Git checkout, or its file name."""
        return str(self.info.get("program") or "")

    @property
    def commit(self) -> str:
        """The Git commit of the script's checkout; empty if unknown."""
        return str(self.info.get("git_commit") or "")

    @property
    def git_dirty(self) -> bool | None:
        """True if tracked files of the checkout differed from the commit; None if unknown."""
        dirty = self.info.get("git_dirty")
        return None if dirty is None else bool(dirty)

    @property
    def created_at(self) -> str:
        """The start time, ISO 8601 in UTC."""
        return str(self.info.get("created_at") or "")

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


def run_url(path: RunPath, below: str = "") -> str:
    """Return the path of a run below `/api/v1`, each part percent-encoded."""
    parts = "/".join(quote(part, safe="") for part in path)
    return f"runs/{parts}/{below}" if below else f"runs/{parts}"


def _row(row: Mapping[str, Any]) -> Row:
    """Return a row with lists and arrays restored."""
    return {key: restore_value(value) for key, value in row.items()}
