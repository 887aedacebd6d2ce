"""The browser of the browser tests: Debian's Chromium, installed by `make test` if possible.

python tests/support/servers/chromium.py     install it if it is missing; prints a message if it can't, and never fails
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable")
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
    """Install Debian's package; return the result in one line."""
    if find():
        return ""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return f"browser tests will be skipped: {MISSING}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            [apt, *arguments], env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    return "" if find() else f"browser tests will be skipped: apt-get could not install chromium: {done.stderr[-300:]}"


if __name__ == "__main__":
    if said := install():
        print(said)
