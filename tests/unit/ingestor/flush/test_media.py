"""Media files on their way into their store: in any pieces, sent again, cut off anywhere, and hashes that lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepwell_ingestor.flush.media_upload import store_media, tidy_media
from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, is_repeated, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.errors import MediaUnavailableError
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event, MediaChunk
from stepwell_schemas.media_store import MediaStore, file_path
from stepwell_schemas.rules.identifiers import RunPath

pytestmark = pytest.mark.anyio

PATH = RunPath("e", "p", "r")
DATA = bytes(range(256)) * 5
SHA256 = hashlib.sha256(DATA).hexdigest()


def pieces(data: bytes, count: int, sequence: int = 0, **changes: Any) -> list[Event]:
    """Return a file as `count` events."""
    size = -(-len(data) // count)
    fields = {**PATH._asdict(), "session": "s", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return [
        MediaChunk(
            **{**fields, "content_type": "image/png", "count": count, **changes},
            sequence=sequence + index,
            index=index,
            data=data[index * size : (index + 1) * size],
        )
        for index in range(count)
    ]


def received(events: Sequence[Event], first: int = 0) -> list[Received]:
    """Return events as they come from Kafka, at offsets from `first`."""
    messages = [Message(first + number, 1_700_000_000_000, None, encode(event)) for number, event in enumerate(events)]
    items, dead = receive_all(Codec(), messages)
    assert not dead
    return items


async def content(media: MediaStore, sha256: str) -> bytes | None:
    """Return a file's bytes, None where there is none."""
    path = file_path(sha256)
    size = await media.size(path)
    return None if size is None else b"".join([part async for part in media.read(path, 0, size)])


def left_over(folder: Path) -> list[Path]:
    """Return the pieces that are put aside."""
    return [path for path in (folder / "parts").rglob("*") if path.is_file()]


def plan(items: list[Received], refused: dict[int, str], before: RunState | None = None) -> FlushPlan:
    """Plan a flush of one run."""
    return plan_flush(items, [], {PATH: before or RunState()}, items[-1].message.offset + 1, refused)


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(str(tmp_path))


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("flush", [1, 3, 10])
async def test_a_file_is_stored_whole_whatever_its_pieces_and_flushes(
    media: MediaStore, tmp_path: Path, count: int, flush: int
) -> None:
    items = received(pieces(DATA, count))
    for first in range(0, count, flush):
        assert await content(media, SHA256) is None
        await flushed(media, items[first : first + flush])
    assert await content(media, SHA256) == DATA
    assert left_over(tmp_path) == []


async def flushed(media: MediaStore, items: Sequence[Received]) -> dict[int, str]:
    """Store the media of a flush that is committed then; return what is refused."""
    stored = await store_media(media, items)
    await tidy_media(media, stored)
    return stored.refused


async def test_a_flush_that_is_repeated_changes_nothing(media: MediaStore, tmp_path: Path) -> None:
    items = received(pieces(DATA, 3))
    assert await flushed(media, items[:2]) == {}
    assert await flushed(media, items[:2]) == {}
    assert (await store_media(media, items[1:])).refused == {}
    assert await flushed(media, items[1:]) == {}
    assert await content(media, SHA256) == DATA
    assert left_over(tmp_path) == []


async def test_a_file_is_claimed_by_its_bytes_and_keeps_its_first_type(media: MediaStore) -> None:
    assert await flushed(media, received(pieces(DATA, 2))) == {}
    lies = received(pieces(b"", 2, session="other", sha256=SHA256, size=7, content_type="text/html"))
    refused = await flushed(media, lies[1:])
    assert list(refused) == [1]
    assert "media_files" not in plan(lies[1:], refused).tables
    assert await content(media, SHA256) == DATA
    again = received(pieces(DATA, 2, session="other", content_type="text/html"))
    assert await flushed(media, again) == {}
    known = plan_flush(again, [], {PATH: RunState()}, 2, media_types={SHA256: "image/png"})
    assert known.tables["media_files"].column("content_type").to_pylist() == ["image/png"]


def test_of_a_file_that_a_flush_has_twice_the_first_type_holds() -> None:
    items = received([*pieces(DATA, 1), *pieces(DATA, 1, session="other", content_type="text/html")])
    assert plan(items, {}).tables["media_files"].column("content_type").to_pylist() == ["image/png"] * 2


def test_a_repeated_piece_is_known_before_it_is_stored() -> None:
    items = received(pieces(DATA, 2))
    state = plan(items[:1], {}).states[PATH]
    assert [is_repeated(item, state) for item in items] == [True, False]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"sha256": "0" * 64}, "has the SHA-256"), ({"size": len(DATA) + 1}, "bytes and not the 1,281")],
)
async def test_a_file_that_is_not_what_its_name_says_is_a_dead_letter(
    media: MediaStore, changes: dict[str, Any], why: str
) -> None:
    items = received(pieces(DATA, 3, **changes))
    for _ in range(2):
        refused = await flushed(media, items)
        assert list(refused) == [2]
        assert why in refused[2]
    assert await content(media, "0" * 64) is None
    done = plan(items, refused)
    assert [(letter.message.offset, str(letter.reason)) for letter in done.dead] == [(2, "bad_media")]
    assert "media_files" not in done.tables


async def test_a_piece_that_never_came_may_still_come(media: MediaStore) -> None:
    items = received(pieces(DATA, 3))
    refused = await flushed(media, [items[0], items[2]])
    assert list(refused) == [2]
    assert "chunk 1 of 3 " in refused[2]
    assert await flushed(media, items[1:2]) == {}
    assert await flushed(media, items[2:]) == {}
    assert await content(media, SHA256) == DATA


async def test_pieces_of_two_sessions_are_never_mixed(media: MediaStore) -> None:
    lies = received(pieces(b"lie" * 400, 2, session="other", sha256=SHA256, size=1200))
    items = received(pieces(DATA, 2))
    for item in (items[0], lies[0], items[1]):
        assert await flushed(media, [item]) == {}
    assert await content(media, SHA256) == DATA


async def test_a_store_that_fails_is_asked_again(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    items = received(pieces(DATA, 2))
    with pytest.raises(MediaUnavailableError, match=r"the media store .* can't"):
        await store_media(MediaStore(str(blocked)), items)


def test_a_file_is_a_row_where_its_last_piece_came_once() -> None:
    items = received(pieces(DATA, 3), first=5)
    first = plan(items[:2], {})
    assert "media_files" not in first.tables
    second = plan(items[2:], {}, first.states[PATH])
    assert second.tables["media_files"].to_pylist() == [
        {**PATH._asdict(), "sha256": SHA256, "size": len(DATA), "content_type": "image/png", "version": 7 << 20}
    ]
    again = plan(received(pieces(DATA, 3), first=8), {}, second.states[PATH])
    assert (again.repeated, "media_files" in again.tables) == (3, False)
