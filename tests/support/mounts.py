"""Small file systems: they fill up, as a full disk does. A test is skipped where nothing can be mounted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

Kind = Literal["tmpfs", "ext4", "btrfs"]

_MKFS: Final[dict[Kind, tuple[str, ...]]] = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "btrfs": ("mkfs.btrfs", "-q", "--mixed"),
}
_BTRFS_BYTES: Final = 112 * 1024 * 1024
"""The smallest btrfs that mkfs makes has 109 MiB."""


class CannotMountError(Exception):
    """This machine can't mount the file system."""


@contextmanager
def small_disk(kind: Kind, point: Path, size: int) -> Iterator[Path]:
    """Mount an empty file system of about `size` bytes at an existing folder, for the block.

    A file next to the folder holds it, unless it is in memory. Raises: CannotMountError.
    """
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        with _mounted(command, point):
            yield point
        return
    size = max(size, _BTRFS_BYTES) if kind == "btrfs" else size
    image = point.with_name(f"{point.name}.image")
    with image.open("wb") as file:
        file.truncate(size)
    try:
        _make_file_system(_MKFS[kind], image)
        with _mounted(["mount", "-o", "loop", str(image)], point):
            yield point
    finally:
        image.unlink()


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """Mount a tmpfs for the block of a test."""
    with _in_test("tmpfs", folder, size) as point:
        yield point


@contextmanager
def btrfs(folder: Path) -> Iterator[Path]:
    """Mount a small btrfs, which copies on write, for the block of a test."""
    with _in_test("btrfs", folder, _BTRFS_BYTES) as point:
        yield point


@contextmanager
def _in_test(kind: Kind, folder: Path, size: int) -> Iterator[Path]:
    point = folder / "mounted"
    point.mkdir()
    try:
        with small_disk(kind, point, size):
            yield point
    except CannotMountError as error:
        pytest.skip(str(error))


def _make_file_system(command: Sequence[str], image: Path) -> None:
    if shutil.which(command[0]) is None:
        raise CannotMountError(f"there is no {command[0]} (Debian's packages are e2fsprogs and btrfs-progs)")
    made = subprocess.run([*command, str(image)], check=False, capture_output=True, text=True)
    if made.returncode:
        raise CannotMountError(f"{command[0]}: {made.stderr.strip()}")


@contextmanager
def _mounted(command: Sequence[str], point: Path) -> Iterator[None]:
    mounted = subprocess.run([*command, str(point)], check=False, capture_output=True, text=True)
    if mounted.returncode:
        raise CannotMountError(f"can't mount: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        # Lazy: a process that was killed a moment ago may still hold a file.
        subprocess.run(["umount", "--lazy", str(point)], check=True)
