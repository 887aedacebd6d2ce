"""Metadata of an installed package `wandb`, as `importlib.metadata` returns it while Stepwell stands in for wandb."""

from __future__ import annotations

from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path


class WandbDistribution(Distribution):
    """The name and version of wandb, without files."""

    def __init__(self, version: str) -> None:
        self._text = f"Metadata-Version: 2.1\nName: wandb\nVersion: {version}\nSummary: Stepwell in place of wandb\n"

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        """Return the metadata; None for any other file."""
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Return a path inside of Stepwell's package."""
        return Path(__file__).parent / path
