"""Artifacts of wandb: accepted so that a script that logs them continues; their files are not sent.

A file that an artifact is made of stays where it is. One that exists only in the artifact (`new_file`) is kept in the
run's folder. An object that exists only in it (`add`) is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from stepwell.errors import UnsupportedError, UsageError
from stepwell.session.live_runs import current_run
from stepwell.terminal import notify
from stepwell.wandb_compat import ARTIFACTS, FILES, notify_once

_FOLDER: Final = "artifacts"
_NOT_STORED: Final = frozenset(
    {"checkout", "delete", "digest", "download", "file", "files", "get", "get_entry", "get_path", "id", "version"}
)


class Artifact:
    """Name, type and metadata of an artifact. No file of it is stored or sent; `log_artifact` reports that once.

    Attributes:
        name, type, description, metadata, aliases, tags, ttl: as given, for the script; they are not sent.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - wandb's name
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        storage_region: str | None = None,
    ) -> None:
        del use_as, storage_region
        self.name = name
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.incremental = incremental
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.ttl: Any = None
        self._folder: Path | None = None

    def add_file(self, local_path: str | os.PathLike[str], name: str | None = None, **_: Any) -> None:
        """Check that the file exists; it stays where it is. Raises: ValueError if it is none, as wandb does."""
        del name
        if not Path(local_path).is_file():
            raise ValueError(f"artifact {self.name!r}: {os.fspath(local_path)!r} is not a file")

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None, **_: Any) -> None:
        """Check that the folder exists; it stays where it is. Raises: ValueError if it is none, as wandb does."""
        del name
        if not Path(local_path).is_dir():
            raise ValueError(f"artifact {self.name!r}: {os.fspath(local_path)!r} is not a folder")

    def add_reference(self, uri: Any, name: str | None = None, **_: Any) -> None:
        """Do nothing: what the URI names stays where it is."""
        del uri, name

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None, **_: Any) -> Iterator[IO[Any]]:
        """Open a new file in the run's folder, below `artifacts/`: it exists nowhere else.

        Raises:
            UsageError: before `init()`. ValueError: for a name outside of the artifact, or one that exists with mode x.
        """
        path = self._new_path(name)
        try:
            with path.open(mode, encoding=encoding) as file:
                yield file
        except FileExistsError:
            raise ValueError(f"artifact {self.name!r} has a file {name!r} already") from None

    def add(self, obj: Any, name: str, overwrite: bool = False) -> NoReturn:
        """Refuse an object: it would be stored nowhere. Raises: UnsupportedError."""
        del obj, overwrite
        raise UnsupportedError(f"artifact {self.name!r}: {name!r} would be stored nowhere: {ARTIFACTS}")

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return the artifact: nothing is sent."""
        del timeout
        return self

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Report that artifacts are not stored."""
        del project, settings
        report_artifact(self)

    def __getattr__(self, name: str) -> Any:
        remedy = f": {ARTIFACTS}" if name in _NOT_STORED else ""
        raise AttributeError(f"an artifact has no attribute {name!r}{remedy}")

    def _new_path(self, name: str) -> Path:
        run = current_run()
        if run is None:
            raise UsageError("call stepwell.init() before Artifact.new_file(): the file is kept in the run's folder")
        if self._folder is None:
            self._folder = Path(run.dir, _FOLDER, self.name.replace("/", "_"))
            notify(f"{run.id}: files of the artifact {self.name!r} are not sent: they are kept in {self._folder}")
        path = (self._folder / name.lstrip("/")).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise ValueError(f"artifact {self.name!r}: {name!r} is outside of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def report_artifact(artifact: Artifact) -> Artifact:
    """Report once that artifacts are not stored, and return the artifact."""
    notify_once(f"log_artifact() has no effect: {FILES}")
    return artifact


def log_artifact(
    artifact_or_path: Artifact | str | os.PathLike[str],
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - wandb's name
    aliases: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> Artifact:
    """Return the artifact, or one made of a path; nothing is sent."""
    if isinstance(artifact_or_path, Artifact):
        artifact = artifact_or_path
    else:
        artifact = Artifact(name or Path(artifact_or_path).name, type or "unspecified")
    artifact.aliases = list(aliases or ("latest",))
    artifact.tags = list(tags or ())
    return report_artifact(artifact)


def link_artifact(artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
    """Return the artifact; nothing is linked."""
    del target_path, aliases
    return report_artifact(artifact)


class RunArtifacts:
    """The calls of a run that log artifacts: they return the artifact, and report once that it is not stored."""

    log_artifact = staticmethod(log_artifact)
    link_artifact = staticmethod(link_artifact)
