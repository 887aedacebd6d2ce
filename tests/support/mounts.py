"""Small file systems for tests: they fill up, as a full disk does. A test is skipped where nothing can be mounted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BTRFS_BYTES = 112 * 1024 * 1024
"""The smallest btrfs that mkfs makes has 109 MiB."""


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs for the block."""
    with _mounted(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs"], folder) as point:
        yield point


@contextmanager
def btrfs(folder: Path) -> Iterator[Path]:
    """Mount a small btrfs, which copies on write, for the block."""
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("there is no mkfs.btrfs: Debian's package is btrfs-progs")
    image = folder / "btrfs.image"
    with image.open("wb") as file:
        file.truncate(_BTRFS_BYTES)
    subprocess.run(["mkfs.btrfs", "-q", "--mixed", str(image)], check=True, capture_output=True)
    with _mounted(["mount", "-o", "loop", str(image)], folder) as point:
        yield point


@contextmanager
def _mounted(command: list[str], folder: Path) -> Iterator[Path]:
    point = folder / "mounted"
    point.mkdir()
    mounted = subprocess.run([*command, str(point)], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"can't mount: {mounted.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
