"""Media files from the topic to HTTP: over both DSNs, in a folder and in S3, whatever dies in between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from stepwell_ingestor.service import Ingestor
from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import MediaUnavailableError
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Event, LogEvent, Media, MediaChunk
from stepwell_schemas.media_store import MediaStore, file_path
from stepwell_schemas.rules.kinds import Kind
from support.servers.ingest import PATH, counted, ingesting, make_ingestor_settings, read_all, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

SMALL = b"a small file"
LARGE = bytes(number * 7 % 256 for number in range(100_000)) * 50


def name_of(data: bytes) -> str:
    """Return the name of a file."""
    return hashlib.sha256(data).hexdigest()


def chunks(data: bytes, count: int, sequence: int = 0, **changes: Any) -> list[Event]:
    """Return a file as `count` numbered events."""
    size = -(-len(data) // count)
    fields = {**PATH._asdict(), "session": "s", "sha256": name_of(data), "size": len(data), "count": count}
    return [
        MediaChunk(
            **{**fields, "content_type": "text/html", **changes},
            sequence=sequence + index,
            index=index,
            data=data[index * size : (index + 1) * size],
        )
        for index in range(count)
    ]


def a_row(sequence: int, data: bytes) -> LogEvent:
    """Return a row that refers to a file."""
    reference = Media(kind=Kind.HTML, json=f'{{"sha256": "{name_of(data)}", "size": {len(data)}}}')
    return LogEvent(**PATH._asdict(), session="s", sequence=sequence, data={"page": reference}, timestamp=1_000)


def a_log() -> list[bytes]:
    """Return a small and a large file, each with a row that refers to it."""
    events = [*chunks(SMALL, 1), a_row(1, SMALL), *chunks(LARGE, 5, 2), a_row(7, LARGE)]
    return [encode(event) for event in events]


def a_client(store: Store, media_url: str) -> httpx.AsyncClient:
    """Return a client of a query service."""
    app = create_app(QuerySettings(media_url=media_url), store)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://localhost/api/v1"
    )


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a folder in a bucket of a real S3 endpoint."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        # The store's client does not start without any authority.
        patch.delenv("SSL_CERT_DIR")
        client = boto3.client(
            "s3", endpoint_url=variables["AWS_ENDPOINT"], region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        client.create_bucket(Bucket="bucket")
        yield "s3://bucket/some/folder"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def media_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A media store of each kind in turn."""
    return str(request.getfixturevalue("bucket")) if request.param == "s3" else str(tmp_path / "media")


async def test_files_come_back_byte_for_byte(broker: str, topics: Topics, store: Store, media_url: str) -> None:
    await send(broker, topics.events, a_log())
    async with ingesting(make_ingestor_settings(broker, topics, media_url=media_url), store):
        await until(counted(store, "media"), 2)
    files = store.query("SELECT sha256, size, run_id FROM {db}.media_files FINAL ORDER BY size").to_pylist()
    assert [(file["sha256"], file["size"]) for file in files] == [(name_of(d), len(d)) for d in (SMALL, LARGE)]
    assert await MediaStore(media_url).sizes(f"parts/{name_of(LARGE)}") == {}
    async with a_client(store, media_url) as client:
        for data in (SMALL, LARGE):
            answer = await client.get(f"/media/{name_of(data)}")
            assert (answer.status_code, answer.content == data) == (200, True)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-length"] == str(len(data))
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        part = await client.get(f"/media/{name_of(LARGE)}", headers={"range": "bytes=4194300-4194309"})
        assert (part.status_code, part.content) == (206, LARGE[4194300:4194310])
        assert part.headers["content-range"] == f"bytes 4194300-4194309/{len(LARGE)}"
        outside = await client.get(f"/media/{name_of(SMALL)}", headers={"range": "bytes=12-"})
        assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */12")
        same = await client.get(f"/media/{name_of(SMALL)}", headers={"if-none-match": f'W/"{name_of(SMALL)}"'})
        assert (same.status_code, same.content) == (304, b"")
        other = await client.get(f"/media/{name_of(SMALL)}", headers={"range": "bytes=0-1", "if-range": '"x"'})
        assert other.status_code == 200
        head = await client.head(f"/media/{name_of(LARGE)}")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(LARGE)), b"")


async def test_a_file_that_is_not_here_is_explained(
    broker: str, topics: Topics, chdb_store: Store, tmp_path: Path
) -> None:
    url = str(tmp_path / "media")
    values = [encode(event) for event in (a_row(0, LARGE), *chunks(SMALL, 1, 1))]
    await send(broker, topics.events, values)
    async with ingesting(make_ingestor_settings(broker, topics, media_url=url), chdb_store):
        await until(counted(chdb_store, "media_files"), 1)
    (tmp_path / "media" / file_path(name_of(SMALL))).unlink()
    async with a_client(chdb_store, url) as client:
        answers = [await client.get(f"/media/{name}") for name in (name_of(LARGE), "0" * 64, name_of(SMALL), "x")]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 422]
    assert "'page'" in answers[0].json()["detail"]
    types = ["media-pending", "media-unknown", "media-gone", "bad-parameter"]
    assert [answer.json()["type"] for answer in answers] == [f"urn:stepwell:problem:{name}" for name in types]


async def test_a_hash_that_lies_is_a_dead_letter_among_good_neighbours(
    broker: str, topics: Topics, chdb_store: Store, tmp_path: Path
) -> None:
    lies = [*chunks(SMALL, 1, 0, sha256="0" * 64), *chunks(LARGE, 3, 1, sha256="1" * 64)]
    values = [encode(event) for event in (*lies, *chunks(SMALL, 1, 4), a_row(5, SMALL))]
    await send(broker, topics.events, values)
    async with ingesting(make_ingestor_settings(broker, topics, media_url=str(tmp_path / "media")), chdb_store):
        await until(counted(chdb_store, "media"), 1)
    letters = await read_all(broker, topics.deadletters, 2)
    headers = [dict(letter.headers) for letter in letters]
    assert [(h["reason"], h["offset"]) for h in headers] == [(b"bad_media", b"0"), (b"bad_media", b"3")]
    assert [letter.value for letter in letters] == [values[0], values[3]]
    assert counted(chdb_store, "media_files")() == 1
    stored = [path.name for path in (tmp_path / "media" / "media").rglob("*") if path.is_file()]
    assert stored == [name_of(SMALL)]


class DyingMediaStore(MediaStore):
    """A media store whose process dies at a call, before or after it was done."""

    def __init__(self, url: str, lives: int, *, after: bool) -> None:
        super().__init__(url)
        self.lives = lives
        self._after = after

    async def put(self, path: str, content: bytes | AsyncIterator[bytes]) -> None:
        """Put, or die."""
        self.lives -= 1
        if self.lives >= 0 or self._after:
            await super().put(path, content)
        if self.lives < 0:
            raise RuntimeError("the process dies")

    async def delete(self, paths: list[str]) -> None:
        """Delete, or die."""
        self.lives -= 1
        if self.lives >= 0 or self._after:
            await super().delete(paths)
        if self.lives < 0:
            raise RuntimeError("the process dies")


@pytest.mark.parametrize("after", [False, True])
async def test_an_ingestor_that_dies_at_any_call_stores_every_file_once(
    broker: str, topics: Topics, chdb_store: Store, tmp_path: Path, after: bool
) -> None:
    url = str(tmp_path / "media")
    await send(broker, topics.events, a_log())
    settings = make_ingestor_settings(broker, topics, media_url=url, ingestor_flush_seconds=0.5)
    died = 0
    for lives in range(9):
        media = DyingMediaStore(url, lives, after=after)
        ingestor = Ingestor(settings, chdb_store, media=media)
        task = asyncio.create_task(ingestor.run())
        done = asyncio.create_task(until(counted(chdb_store, "media"), 2))
        await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        if not task.done():
            await ingestor.stop()
            with suppress(RuntimeError):
                await task
            break
        assert isinstance(task.exception(), RuntimeError)
        died += 1
    assert died >= 5
    assert counted(chdb_store, "media_files")() == 2
    # Chunks are deleted after their flush is committed: after a crash, a lifecycle rule deletes them.
    left = [path for path in (tmp_path / "media" / "parts").rglob("*") if path.is_file()]
    assert bool(left) == (not after)
    for data in (SMALL, LARGE):
        assert (tmp_path / "media" / file_path(name_of(data))).read_bytes() == data


class AwayMediaStore(MediaStore):
    """A media store that is away until it is called back."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = asyncio.Event()
        self.away = True

    async def put(self, path: str, content: bytes | AsyncIterator[bytes]) -> None:
        """Put, unless it is away."""
        self.asked.set()
        if self.away:
            raise MediaUnavailableError("away")
        await super().put(path, content)


async def test_a_media_store_that_is_away_is_waited_for(
    broker: str, topics: Topics, chdb_store: Store, tmp_path: Path
) -> None:
    media = AwayMediaStore(str(tmp_path / "media"))
    await send(broker, topics.events, a_log())
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store, media):
        await media.asked.wait()
        assert counted(chdb_store, "media")() == 0
        media.away = False
        await until(counted(chdb_store, "media"), 2)
    assert counted(chdb_store, "media_files")() == 2
