"""`ApiRun`: one run read back over HTTP, with wandb's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from stepwell.api.http import ApiHttp
from stepwell.api.media import StoredFile, StoredMedia, chosen, file_of, media_of, table_of
from stepwell.api.rows import Scan, frame_of
from stepwell.api.series import points_of
from stepwell.console.parsing import ConsoleLine, first_of_last, lines_of
from stepwell.errors import ApiError
from stepwell.values.arrays import as_logged
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind

if TYPE_CHECKING:
    from stepwell.media.table import Table

PAGE_RUNS: Final = 50
EXACT: Final = {"nan": "literal"}
"""How rows are asked for: NaN and ±Inf as words, which Python's JSON reads as floats: so a text "NaN" stays a text."""

Row = dict[str, Any]


class ApiRun:
    """A run as the service knows it; `info` is the service's document."""

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
        """Who the run belongs to."""
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
        """What the run was configured with."""
        return dict(self._whole().get("config") or {})

    @property
    def summary(self) -> Row:
        """Each metric's last value, or what `define_metric` says."""
        return _row(self._whole().get("summary") or {})

    def _whole(self) -> Mapping[str, Any]:
        """Return the document with all of config and summary, of which a list of runs shows 500 columns."""
        if self.info.get("partial"):
            self.info = self._api.get(run_url(self.run_path), **EXACT)
        return self.info

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - wandb's name
        """The last step that was logged; -1 when there is none."""
        last = self.info.get("last_step")
        return -1 if last is None else int(last)

    def metrics(self) -> list[Row]:
        """Return the run's metrics: `key`, `kind`, `first_step`, `last_step`, `count`."""
        return list(self._api.get(run_url(self.run_path, "metrics"))["metrics"])

    def history(
        self,
        samples: int = 500,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        stream: str = "default",
        interpolate: str | None = None,
    ) -> Any:
        """Return about `samples` rows, sampled: a pandas DataFrame (where pandas is installed), else a list of dicts.

        Args:
            keys: the metrics; default: all of the stream's. x_axis: the column that comes first.
            stream: `default`, what the run itself logged; `system`, its system metrics; `console`, what it printed.
            interpolate: `linear` or `last`: rows of all steps that have any of the keys, what they lack filled in, and
                `_interpolated` in each lists the keys that were; docs/reading.md has the rules.
        """
        wanted = None if keys is None else [*keys, *([] if x_axis.startswith("_") else [x_axis])]
        address = run_url(self.run_path, "history")
        answer = self._api.get(address, samples=samples, key=wanted, stream=stream, interpolate=interpolate, **EXACT)
        rows = [_row(row) for row in answer["rows"]]
        return frame_of(rows, x_axis) if pandas else rows

    def scan_history(
        self,
        keys: Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
        stream: str = "default",
    ) -> Iterator[Row]:
        """Yield every row in step order, unsampled; with `keys`, those that hold all of them (as wandb does).

        Without keys, the rows of a stream; see `history`.
        """
        given = None if keys is None else [key for key in keys if not key.startswith("_")]
        address = run_url(self.run_path, "scan")
        asked = {"min_step": min_step, "max_step": max_step, "stream": stream}
        for line in self._api.lines(address, key=given, page_size=page_size, **asked, **EXACT):
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
        **asked: Any,
    ) -> Scan:
        """Return all rows as Arrow, in bounded memory however many: iterate over it, or take `table()`, `to_pandas()`.

        Many times as fast as `scan_history`, which gives them as dicts.

        Args:
            keys: the metrics; default: all of the stream's. having: rows that have `all` of the keys, or `any`.
            shape: `wide`, a row for each step with a column for each key, or `long`, a row for each value.
            cursor: the `next` of an earlier scan, to get what was logged since. asked: `stream`, `exact`, `page_size`.
        """
        steps = {"min_step": min_step, "max_step": max_step}
        given = {"key": keys, "shape": shape, "having": having, "cursor": cursor, **steps, **asked}
        return Scan(self._api, run_url(self.run_path, "scan"), given)

    def series(
        self, keys: Sequence[str], points: int = 1000, x: str | None = None, pandas: bool = True, **asked: Any
    ) -> Any:
        """Return numbers by at most `points` points each, whatever their length: a DataFrame with a row for each point.

        Its columns are `key`, `kind`, `x`, `step`, `value`, `min`, `max`, `mean`, `counts`, `nans`; `smoothed`, where
        that is asked for; docs/sampling.md says what they mean. Without pandas, a list of the service's documents.

        Args:
            x: `_step`, `_timestamp`, `_runtime` or a metric. asked: `sampling`, `seed`, `smoothing`, and `min_step` and
                `max_step`, both included.

        Raises:
            ApiError: when the run has no such numbers, or the service refuses a parameter.
        """
        steps = {name: asked.pop(own, None) for name, own in (("from", "min_step"), ("to", "max_step"))}
        address = run_url(self.run_path, "series")
        answer = self._api.get(address, key=list(keys), points=points, x=x, **steps, **asked, **EXACT)
        return points_of(answer, keys, pandas)

    def media(self, key: str, step: int | None = None) -> list[StoredMedia]:
        """Return the media logged under a key, in step order (of one step, where it is given); lists item by item.

        Each has `step`, `kind`, `reference`, `read()` and `save(path)`. Raises: ApiError when the key has no media.
        """
        folded = fold_key(key)
        found = [metric for metric in self.metrics() if fold_key(metric["key"]) == folded]
        kinds = [str(metric["kind"]) for metric in found]
        if not MEDIA_KINDS & set(kinds):
            raise ApiError(f"no media were logged under {key!r}" + (f", but {', '.join(kinds)}" if kinds else ""))
        stored = str(found[0]["key"])
        address = run_url(self.run_path, "scan")
        asked: Row = {"key": [stored], "min_step": step, "max_step": step}
        # Rows have one value of a key at a step; tables have one of each kind.
        rows = self._api.lines(address, **asked) if len(kinds) == 1 else self._api.table_rows(address, **asked)
        return list(media_of(self._api, stored, kinds, rows))

    def table(self, key: str, step: int | None = None) -> Table:
        """Return the last table logged under a key (at a step, where it is given); media cells as `media` gives them.

        Its `get_dataframe()` is a pandas DataFrame. Raises: ApiError when there is none, or pyarrow is missing.
        """
        tables = [media for media in self.media(key, step) if media.kind == Kind.TABLE]
        if not tables:
            where = "" if step is None else f" at step {step}"
            raise ApiError(f"no table was logged under {key!r}{where}")
        return table_of(self._api, tables[-1])

    def file(self, name: str) -> StoredFile:
        """Return a file by the SHA-256 of its content, or a name that holds it. Raises: ApiError, MediaMissingError."""
        return file_of(self._api, name)

    def files(
        self, names: Sequence[str] | None = None, pattern: str | None = None, per_page: int = PAGE_RUNS
    ) -> list[StoredFile]:
        """Return the files of the run's media, key by key: those of these names, or of a pattern such as `%.png`.

        A name is `media/<kind>/<key>_<step>_<SHA-256>.png`. Media in cells are not among them: `table` gives these.
        """
        del per_page
        keys = {str(metric["key"]) for metric in self.metrics() if metric["kind"] in MEDIA_KINDS}
        logged = (media for key in sorted(keys) for media in self.media(key))
        return chosen((file for media in logged for file in media.files()), names, pattern)

    @property
    def url(self) -> str:
        """Where the service shows the run."""
        return f"{self._api.base_url}/{run_url(self.run_path).partition('/')[2]}"

    @property
    def notes(self) -> str:
        """The notes."""
        return str(self.info.get("notes") or "")

    @property
    def group(self) -> str:
        """The group of runs it belongs to."""
        return str(self.info.get("group") or "")

    @property
    def job_type(self) -> str:
        """What kind of job it is."""
        return str(self.info.get("job_type") or "")

    @property
    def created_at(self) -> str:
        """When it began, ISO 8601 in UTC."""
        return str(self.info.get("created_at") or "")

    def system_metrics(self, samples: int = 500, pandas: bool = True) -> Any:
        """Return about `samples` samples of the system metrics, by time; `stepwell.system` has the units."""
        return self.history(samples, x_axis="_timestamp", pandas=pandas, stream="system")

    def console(self, lines: int | None = None) -> list[ConsoleLine]:
        """Return what the run printed, the last `lines` lines of it or all."""
        first = None if lines is None else first_of_last(self.metrics(), lines)
        # Not as `scan_history` reads them: a line that says NaN is no number.
        return list(lines_of(self._api.lines(run_url(self.run_path, "scan"), min_step=first, stream="console")))


def run_url(path: RunPath, below: str = "") -> str:
    """Return the address of a run below `/api/v1`, each part percent-encoded."""
    parts = "/".join(quote(part, safe="") for part in path)
    return f"runs/{parts}/{below}" if below else f"runs/{parts}"


def _row(row: Mapping[str, Any]) -> Row:
    """Return a row with the lists and arrays that were logged."""
    return {key: as_logged(value) for key, value in row.items()}
