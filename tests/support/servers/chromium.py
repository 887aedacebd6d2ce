"""The browser of the browser tests: Debian's Chromium, installed by `make test` if possible.

The headless shell is Chromium without a window's parts: the tests take 60 % of the processor time with it.

python tests/support/servers/chromium.py     install it if it is missing; prints a message if it can't, and never fails
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

_PACKAGES: Final = ("chromium-headless-shell", "chromium")
_NAMES: Final = (*_PACKAGES, "chromium-browser", "google-chrome-stable")
_SECONDS: Final = 600

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Command line options: to run as root, without a display, and without connections except to the tests' service."""

MISSING: Final = "no Chromium: install it (Debian: apt-get install chromium), or run `make test` as root on Debian"


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def install() -> str:
    """Install the first package that the system has; return the result in one line."""
    if find():
        return ""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return f"browser tests will be skipped: {MISSING}"
    _run(apt, "update", "-q")
    for package in _PACKAGES:
        said = _run(apt, "install", "-q", "-y", "--no-install-recommends", package)
        if find():
            return ""
    return f"browser tests will be skipped: apt-get could not install chromium: {said[-300:]}"


def _run(*command: str) -> str:
    """Run a command; return what it prints to standard error."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    ).stderr


if __name__ == "__main__":
    if said := install():
        print(said)
