"""Media values of runs, and their files."""

from __future__ import annotations

import json
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.errors import ApiError, MediaMissingError, UnstorableError
from stepwell_schemas.rules.kinds import MEDIA_KINDS

if TYPE_CHECKING:
    from stepwell.api.http import ApiHttp
    from stepwell.media.table import Table

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ENDINGS: Final = {
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.plotly.v1+json": ".plotly.json",
    "audio/wav": ".wav",
    "image/jpeg": ".jpg",
}


_ELSEWHERE: Final = {
    "config.yaml": "run.config",
    "wandb-summary.json": "run.summary",
    "wandb-metadata.json": "run.metadata",
    "wandb-history.jsonl": "run.scan_history()",
    "wandb-events.jsonl": "run.system_metrics()",
    "output.log": "run.console()",
}
"""Files that wandb writes for each run, and where Stepwell has their content."""


class StoredFile(NamedTuple):
    """A media file in the service.

    Attributes:
        name: its path in the run, or its SHA-256. size: bytes. mimetype: its media type.
    """

    api: ApiHttp
    sha256: str
    name: str
    size: int
    mimetype: str

    def __repr__(self) -> str:
        return f"<File {self.name} ({self.mimetype}, {self.size:,} bytes)>"

    @property
    def url(self) -> str:
        """The file's URL."""
        return f"{self.api.base_url}/api/v1/media/{self.sha256}"

    def read(self) -> bytes:
        """Return the content. Raises: ApiError; MediaMissingError if the bytes are missing."""
        return b"".join(self.api.chunks(f"media/{self.sha256}"))

    def download(self, root: str | os.PathLike[str] = ".", replace: bool = False, exist_ok: bool = False) -> Path:
        """Write the file below the folder `root`, under its name, and return its absolute path.

        Raises:
            ValueError: if the path exists, and neither `replace` nor `exist_ok` is set. ApiError.
        """
        ending = file_extension(self.mimetype)
        path = Path(root) / (self.name if self.name.endswith(ending) else f"{self.name}{ending}")
        if path.exists() and not replace:
            if exist_ok:
                return path.absolute()
            raise ValueError(f"{path} exists; set replace=True or exist_ok=True")
        return save(self.api, self.sha256, path)


def find_file(api: ApiHttp, name: str) -> StoredFile:
    """Return the file whose SHA-256 is part of a name.

    Raises:
        ApiError: if the name has none. MediaMissingError: if the service does not have the file.
    """
    match = _SHA256.search(name)
    if match is None:
        remedy = _ELSEWHERE.get(name)
        way = f"its content is {remedy}" if remedy else "run.files() lists the names, which contain a SHA-256"
        raise ApiError(f"there is no file {name!r}: {way}")
    headers = api.headers(f"media/{match[0]}")
    return StoredFile(api, match[0], name, int(headers["content-length"]), _media_type(headers))


def filter_files(files: Iterable[StoredFile], names: Iterable[str] | None, pattern: str | None) -> list[StoredFile]:
    """Return the files with these names, or matching a SQL LIKE pattern: `%` is any text, `_` any character."""
    chosen_names = None if names is None else set(names)
    parts = re.split("([%_])", pattern or "%")
    like = re.compile("".join({"%": ".*", "_": "."}.get(part) or re.escape(part) for part in parts), re.DOTALL)
    return [file for file in files if (chosen_names is None or file.name in chosen_names) and like.fullmatch(file.name)]


class StoredMedia:
    """A media value of a run.

    Attributes:
        key, kind, step: its position in the run. reference: its metadata; see docs/data-types.md.
    """

    def __init__(self, api: ApiHttp, key: str, kind: str, step: int, reference: Mapping[str, Any]) -> None:
        self._api = api
        self.key = key
        self.kind = kind
        self.step = step
        self.reference = dict(reference)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.key!r} at step {self.step}>"

    def read(self) -> bytes:
        """Return its file's content.

        Raises:
            ApiError: also if it has no file (a histogram). MediaMissingError: if the bytes are missing.
        """
        return b"".join(self._api.chunks(f"media/{self._sha256()}"))

    @property
    def state(self) -> str:
        """The state of its file: `stored`; `pending`: the bytes have not arrived; `gone`: they have been removed.

        Requests the service on each access. Raises: ApiError.
        """
        try:
            self._api.headers(f"media/{self._sha256()}")
        except MediaMissingError as error:
            return error.state
        return "stored"

    def files(self) -> list[StoredFile]:
        """Return its file and those of an image's masks; an empty list for a histogram."""
        masks = {f".{_safe(name)}": mask for name, mask in dict(self.reference.get("masks", {})).items()}
        references = {"": self.reference, **masks}
        return [
            StoredFile(
                self._api,
                str(reference["sha256"]),
                f"media/{self.kind}/{_safe(self.key)}_{self.step}_{reference['sha256']}{mask}"
                f"{file_extension(str(reference['content_type']))}",
                int(reference["size"]),
                str(reference["content_type"]),
            )
            for mask, reference in references.items()
            if "sha256" in reference
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write its file and return the absolute path; in a folder, its name is made of key and step.

        Raises:
            ApiError.
        """
        sha256, target = self._sha256(), Path(path)
        if target.is_dir():
            target /= f"{_safe(self.key)}-{self.step}-{sha256[:8]}{file_extension(str(self.reference['content_type']))}"
        return save(self._api, sha256, target)

    def _sha256(self) -> str:
        if "sha256" not in self.reference:
            raise ApiError(f"a {self.kind} has no file; `reference` holds all its data")
        return str(self.reference["sha256"])


def read_media(api: ApiHttp, key: str, kinds: list[str], rows: Iterator[Mapping[str, Any]]) -> Iterator[StoredMedia]:
    """Yield the media in rows, lists item by item; `kinds` are the key's kinds in the service's order."""
    # A key with several kinds has a column for each: the first has the key's name, the others add their kind.
    columns = {key if number == 0 else f"{key} ({kind})": kind for number, kind in enumerate(kinds)}
    for row in rows:
        for column, kind in columns.items():
            if kind in MEDIA_KINDS and row.get(column):
                value = row[column]
                value = json.loads(value) if isinstance(value, str) else value
                for reference in value.get("items", [value]):
                    yield StoredMedia(api, key, kind, int(row["_step"]), reference)


def read_table(api: ApiHttp, stored: StoredMedia) -> Table:
    """Return a stored table. Raises: ApiError, also if pyarrow is missing."""
    from stepwell.media import parquet
    from stepwell.media.table import Table

    def media(reference: Mapping[str, Any]) -> StoredMedia:
        metadata = {name: value for name, value in reference.items() if name != "kind"}
        return StoredMedia(api, stored.key, str(reference["kind"]), stored.step, metadata)

    content = stored.read()
    try:
        names, columns = parquet.read(content, media)
    except UnstorableError as error:
        raise ApiError(str(error)) from error
    return Table(columns=names, data=list(zip(*columns, strict=True)), allow_mixed_types=True)


def _safe(text: str) -> str:
    """Return a key as part of a file name, without path separators and special characters."""
    return re.sub(r"[^\w.-]+", "_", text)


def _media_type(headers: Mapping[str, str]) -> str:
    """Return the type that a file was logged with: the service sends what a browser could run as plain bytes."""
    return headers.get("stepwell-media-type", headers["content-type"]).partition(";")[0]


def file_extension(content_type: str) -> str:
    """Return the file extension of a media type, "" if unknown."""
    return _ENDINGS.get(content_type) or mimetypes.guess_extension(content_type) or ""


def save(api: ApiHttp, sha256: str, path: Path) -> Path:
    """Write a file's content to a path atomically, and return it as absolute. Raises: ApiError, OSError."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for chunk in api.chunks(f"media/{sha256}"):
                file.write(chunk)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
