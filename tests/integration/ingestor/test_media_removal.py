"""Media files of deleted runs: removed after a grace time, unless a run refers to them, wherever the worker ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest

from stepwell_ingestor.removal.late_rows import sweep
from stepwell_ingestor.removal.media import remove_media, removed_path
from stepwell_schemas.clickhouse.run_rows import note_unreferenced
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import MediaUnavailableError
from stepwell_schemas.media_store import MediaStore, file_path

pytestmark = pytest.mark.one_dsn

FILE = "f" * 64
GRACE = 1_000.0
LATER = 4_000_000_000.0
"""Seconds since the epoch, in a far future."""


def refer(store: Store) -> None:
    row = {"sha256": FILE, "size": 1, "content_type": "x", "entity": "e", "project": "p", "run_id": "r", "version": 1}
    store.insert("media_files", pa.Table.from_pylist([row]))


async def states(store: Store, media: MediaStore) -> tuple[bool, bool, int]:
    """Return whether the file is in its place, whether it is set aside, and the number of rows about it."""
    rows = store.query("SELECT sha256 FROM {db}.media_removals FINAL").num_rows
    return await media.size(file_path(FILE)) is not None, await media.size(removed_path(FILE)) is not None, rows


def test_a_file_without_references_is_removed_in_two_steps(chdb_store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        media = MediaStore(str(tmp_path))
        await media.put(file_path(FILE), b"x")
        note_unreferenced(chdb_store, {FILE: 1})
        await remove_media(chdb_store, media, GRACE, 0.0)
        assert await states(chdb_store, media) == (True, False, 1)
        await remove_media(chdb_store, media, GRACE, LATER)
        assert await states(chdb_store, media) == (False, True, 1)
        await remove_media(chdb_store, media, GRACE, LATER + 1)
        assert await states(chdb_store, media) == (False, True, 1)
        removed = await remove_media(chdb_store, media, GRACE, LATER + GRACE)
        assert (removed.deleted, removed.bytes) == (1, 1)
        assert await states(chdb_store, media) == (False, False, 0)

    asyncio.run(run())


@pytest.mark.parametrize("stored_again", [False, True])
@pytest.mark.parametrize("referred_after", [0, 1])
def test_a_file_that_a_run_refers_to_stays_or_comes_back(
    chdb_store: Store, tmp_path: Path, referred_after: int, stored_again: bool
) -> None:
    async def run() -> None:
        media = MediaStore(str(tmp_path))
        await media.put(file_path(FILE), b"x")
        note_unreferenced(chdb_store, {FILE: 1})
        if referred_after == 1:
            await remove_media(chdb_store, media, GRACE, LATER)
            assert await states(chdb_store, media) == (False, True, 1)
            if stored_again:
                await media.put(file_path(FILE), b"x")
        refer(chdb_store)
        await remove_media(chdb_store, media, GRACE, LATER + GRACE)
        assert await states(chdb_store, media) == (True, False, 0)

    asyncio.run(run())


def test_a_pass_that_ends_anywhere_is_completed_by_the_next(chdb_store: Store, tmp_path: Path) -> None:
    class Dying(MediaStore):
        """A media store whose process dies after so many changes."""

        left = 0

        async def move(self, path: str, to: str) -> None:
            await super().move(path, to)
            self._die()

        async def delete(self, paths: list[str]) -> None:
            await super().delete(paths)
            self._die()

        def _die(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise MediaUnavailableError("killed")

    async def run() -> None:
        media = Dying(str(tmp_path))
        await media.put(file_path(FILE), b"x")
        note_unreferenced(chdb_store, {FILE: 1})
        for now in (LATER, LATER + GRACE):
            with pytest.raises(MediaUnavailableError):
                await remove_media(chdb_store, media, GRACE, now)
            media.left = 1
            await remove_media(chdb_store, media, GRACE, now)
            media.left = 0
        assert await states(chdb_store, media) == (False, False, 0)

    asyncio.run(run())


def test_late_rows_of_a_deleted_run_are_swept(chdb_store: Store) -> None:
    path = {"entity": "e", "project": "p", "run_id": "r"}
    states = [
        {**path, "scope": "deletion", "name": name, "offset": 20, "number": number, "previous_number": -1}
        for name, number in (("at", 5_000_000), ("offset", 10))
    ]
    chdb_store.insert("run_states", pa.Table.from_pylist(states))
    for offset in (3, 12):
        chdb_store.command(
            "INSERT INTO {db}.points_bool (entity, project, run_id, key, step, timestamp, value, version)"
            f" SELECT 'e', 'p', 'r', 'k', {offset}, now64(3), true, {offset << 20}"
        )
    assert sweep(chdb_store, 5.0 + 86_401) == (0, [])
    assert sweep(chdb_store, 6.0) == (1, [])
    assert sweep(chdb_store, 6.0) == (0, [])
    assert chdb_store.query("SELECT step FROM {db}.bools").column("step").to_pylist() == [12]
