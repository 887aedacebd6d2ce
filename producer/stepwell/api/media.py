"""Media read back: the values of a key, step by step, and their files."""

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


class StoredFile(NamedTuple):
    """A file of the service's.

    Attributes:
        name: where it was logged, or its SHA-256. size: bytes. mimetype: its media type.
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
        """Its address."""
        return f"{self.api.base_url}/api/v1/media/{self.sha256}"

    def read(self) -> bytes:
        """Return the content. Raises: ApiError; MediaMissingError when it is not there."""
        return b"".join(self.api.chunks(f"media/{self.sha256}"))

    def download(self, root: str | os.PathLike[str] = ".", replace: bool = False, exist_ok: bool = False) -> Path:
        """Write the file below the folder `root`, under its name, and return its path.

        Raises:
            ValueError: when it is there, and neither `replace` nor `exist_ok` is given. ApiError.
        """
        ending = ending_of(self.mimetype)
        path = Path(root) / (self.name if self.name.endswith(ending) else f"{self.name}{ending}")
        if path.exists() and not replace:
            if exist_ok:
                return path
            raise ValueError(f"{path} is there; give replace=True or exist_ok=True")
        return save(self.api, self.sha256, path)


def file_of(api: ApiHttp, name: str) -> StoredFile:
    """Return the file whose SHA-256 is in a name.

    Raises:
        ApiError: when there is none in it. MediaMissingError: when the service has no such file.
    """
    found = _SHA256.search(name)
    if found is None:
        raise ApiError(f"{name!r} names no file: files are named by the 64 digits of their SHA-256")
    headers = api.headers(f"media/{found[0]}")
    return StoredFile(api, found[0], name, int(headers["content-length"]), _media_type(headers))


def chosen(files: Iterable[StoredFile], names: Iterable[str] | None, pattern: str | None) -> list[StoredFile]:
    """Return the files of these names, or of a pattern of SQL's LIKE: `%` is any text, `_` any character."""
    wanted = None if names is None else set(names)
    parts = re.split("([%_])", pattern or "%")
    like = re.compile("".join({"%": ".*", "_": "."}.get(part) or re.escape(part) for part in parts), re.DOTALL)
    return [file for file in files if (wanted is None or file.name in wanted) and like.fullmatch(file.name)]


class StoredMedia:
    """A media value of a run.

    Attributes:
        key, kind, step: where it was logged. reference: what is known of it; see docs/data-types.md.
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
            ApiError: also when it has no file (a histogram). MediaMissingError: when the bytes are not there (yet).
        """
        return b"".join(self._api.chunks(f"media/{self._sha256()}"))

    @property
    def state(self) -> str:
        """Whether its file is `stored`; else `pending`, the bytes have not come (yet), or `gone`, they are no more.

        Asks the service each time. Raises: ApiError.
        """
        try:
            self._api.headers(f"media/{self._sha256()}")
        except MediaMissingError as error:
            return error.state
        return "stored"

    def files(self) -> list[StoredFile]:
        """Return its file, and those of an image's masks; none of a histogram. Their names tell where it was logged."""
        masks = {f".{_safe(name)}": mask for name, mask in dict(self.reference.get("masks", {})).items()}
        found = {"": self.reference, **masks}
        return [
            StoredFile(
                self._api,
                str(one["sha256"]),
                f"media/{self.kind}/{_safe(self.key)}_{self.step}_{one['sha256']}{mask}{ending_of(str(one['content_type']))}",
                int(one["size"]),
                str(one["content_type"]),
            )
            for mask, one in found.items()
            if "sha256" in one
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write its file, in a folder under a name made of key and step, and return the path. Raises: ApiError."""
        sha256, target = self._sha256(), Path(path)
        if target.is_dir():
            target /= f"{_safe(self.key)}-{self.step}-{sha256[:8]}{ending_of(str(self.reference['content_type']))}"
        return save(self._api, sha256, target)

    def _sha256(self) -> str:
        if "sha256" not in self.reference:
            raise ApiError(f"a {self.kind} has no file; `reference` holds all of it")
        return str(self.reference["sha256"])


def media_of(api: ApiHttp, key: str, kinds: list[str], rows: Iterator[Mapping[str, Any]]) -> Iterator[StoredMedia]:
    """Yield the media among rows; `kinds` are the key's kinds as the service lists them; lists item by item."""
    # A key of several kinds has a column for each: the first under its name, the others with their kind.
    columns = {key if number == 0 else f"{key} ({kind})": kind for number, kind in enumerate(kinds)}
    for row in rows:
        for column, kind in columns.items():
            if kind in MEDIA_KINDS and row.get(column):
                value = row[column]
                value = json.loads(value) if isinstance(value, str) else value
                for reference in value.get("items", [value]):
                    yield StoredMedia(api, key, kind, int(row["_step"]), reference)


def table_of(api: ApiHttp, stored: StoredMedia) -> Table:
    """Return a stored table. Raises: ApiError, also when pyarrow is missing."""
    from stepwell.media import parquet
    from stepwell.media.table import Table

    def media(reference: Mapping[str, Any]) -> StoredMedia:
        known = {name: value for name, value in reference.items() if name != "kind"}
        return StoredMedia(api, stored.key, str(reference["kind"]), stored.step, known)

    content = stored.read()
    try:
        names, columns = parquet.read(content, media)
    except UnstorableError as error:
        raise ApiError(str(error)) from error
    return Table(columns=names, data=list(zip(*columns, strict=True)), allow_mixed_types=True)


def _safe(text: str) -> str:
    """Return a key as a part of a file's name, without what would lead elsewhere."""
    return re.sub(r"[^\w.-]+", "_", text)


def _media_type(headers: Mapping[str, str]) -> str:
    """Return the type that a file was logged with: the service sends what a browser could run as plain bytes."""
    return headers.get("stepwell-media-type", headers["content-type"]).partition(";")[0]


def ending_of(content_type: str) -> str:
    """Return the ending of a file's name by its media type, "" where none is known."""
    return _ENDINGS.get(content_type) or mimetypes.guess_extension(content_type) or ""


def save(api: ApiHttp, sha256: str, path: Path) -> Path:
    """Write a file's content to a path, whole or not at all. Raises: ApiError, OSError."""
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
