"""`POST /api/v1/events` writes to Kafka, and answers when the brokers have acknowledged everything."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import cramjam
import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import decode, encode
from stepwell_schemas.events.framing import MEDIA_TYPE, join_events
from stepwell_schemas.events.models import LogEvent, RunFinished
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from support.servers.gateway import gateway_over, gateway_settings
from support.servers.stack import Topics, limit_topic

URL = "/api/v1/events"


@pytest.fixture
def gateway(broker: str, topics: Topics) -> Iterator[httpx.Client]:
    """A gateway to the test's topic."""
    with (
        gateway_over(gateway_settings(broker, topics, gateway_request_bytes=9 * MIB)) as url,
        httpx.Client(base_url=url, headers={"content-type": MEDIA_TYPE}) as client,
    ):
        yield client


def event(number: int, run_id: str = "r", project: str = "p") -> bytes:
    return encode(LogEvent(entity="e", project=project, run_id=run_id, session="s", sequence=number, data={}))


def named(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:stepwell:problem:")


def records(broker: str, topic: str) -> list[Any]:
    """Return all records of a topic, each partition in order."""

    async def read() -> list[Any]:
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False
        ) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            found: list[Any] = []
            while any([await consumer.position(part) < end for part, end in ends.items()]):
                for messages in (await consumer.getmany(timeout_ms=1000)).values():
                    found += messages
            return found

    return asyncio.run(read())


def test_events_are_on_kafka_when_they_are_answered(gateway: httpx.Client, broker: str, topics: Topics) -> None:
    payloads = [event(number, f"r{number % 3}") for number in range(30)]
    answer = gateway.post(URL, content=join_events(payloads))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["events"], body["bytes"]) == (30, sum(map(len, payloads)))
    found = records(broker, topics.events)
    assert sorted(record.value for record in found) == sorted(payloads)
    for record in found:
        assert record.key.decode() == f"e/p/{decode(record.value).run_id}"
        assert not record.headers
    for part in body["partitions"]:
        offsets = [record.offset for record in found if record.partition == part["partition"]]
        assert (part["events"], part["first_offset"], part["last_offset"]) == (len(offsets), offsets[0], offsets[-1])
    for run in ("r0", "r1", "r2"):
        numbers = [decode(record.value).sequence for record in found if record.key.decode() == f"e/p/{run}"]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("coding", ["zstd", "lz4", "identity"])
def test_a_body_may_be_compressed(gateway: httpx.Client, broker: str, topics: Topics, coding: str) -> None:
    body = join_events([event(0), event(1)])
    sent = body if coding == "identity" else bytes(getattr(cramjam, coding).compress(body))
    answer = gateway.post(URL, content=iter([sent[:20], sent[20:]]), headers={"content-encoding": coding})
    assert answer.status_code == 200, answer.text
    assert len(records(broker, topics.events)) == 2


def test_what_is_refused_writes_nothing_and_says_why(gateway: httpx.Client, broker: str, topics: Topics) -> None:
    good = event(0)
    bomb = bytes(cramjam.zstd.compress(bytes(64 * MIB)))
    cut = bytes(cramjam.zstd.compress(join_events([good] * 100)))[:-5]
    zstd, lz4 = {"content-encoding": "zstd"}, {"content-encoding": "lz4"}
    refused: list[tuple[bytes, dict[str, str], int, str, str]] = [
        (b"", {}, 400, "bad-framing", "events.0"),
        (b"\x00\x00", {}, 400, "bad-framing", "events.0"),
        (join_events([good]) + b"\x00\x00\x00\x05abc", {}, 400, "bad-framing", "events.1"),
        (cut, zstd, 400, "bad-framing", "body"),
        (join_events([good]), lz4, 400, "bad-framing", "body"),
        (bomb, zstd, 413, "body-too-large", "body"),
        (bytes(10 * MIB), {}, 413, "body-too-large", "body"),
        (join_events([good, bytes(MAX_EVENT_BYTES)]), {}, 422, "bad-event", "events.1"),
        (join_events([good, good + bytes(MAX_EVENT_BYTES)]), {}, 413, "event-too-large", "events.1"),
        (join_events([good, b""]), {}, 422, "bad-event", "events.1"),
        (join_events([good, b"\x00\x00\x00\x00\x07rest"]), {}, 422, "bad-event", "events.1"),
        (join_events([good[:2] + b"12345678" + good[10:]]), {}, 422, "bad-event", "events.0"),
        (join_events([good[:13]]), {}, 422, "bad-event", "events.0"),
        (join_events([good, event(1, run_id="a/b"), event(2, project="")]), {}, 422, "bad-event", "events.1.run_id"),
        (join_events([good]), {"content-encoding": "br"}, 415, "media-type", "content-encoding"),
        (join_events([good]), {"content-type": "text/plain"}, 415, "media-type", "content-type"),
        (join_events([good]), {"origin": "http://evil.example"}, 403, "foreign-page", "origin"),
        (join_events([good]), {"host": "evil.example"}, 421, "unknown-host", "host"),
    ]
    for body, headers, status, kind, field in refused:
        answer = gateway.post(URL, content=body, headers=headers)
        assert (*named(answer), answer.json()["errors"][0]["field"]) == (status, kind, field), answer.text
    assert gateway.get(URL).status_code == 405
    assert records(broker, topics.events) == []


def test_an_event_that_the_ingestor_cannot_use_is_written(gateway: httpx.Client, broker: str, topics: Topics) -> None:
    broken = event(0)[:-1] + b"\xff\xff\xff\xff"
    assert gateway.post(URL, content=join_events([broken])).status_code == 200
    assert [record.value for record in records(broker, topics.events)] == [broken]


def test_an_event_that_the_topic_refuses_names_the_limit(broker: str, topics: Topics) -> None:
    asyncio.run(limit_topic(broker, topics.events, 100_000))
    noise = encode(RunFinished(entity="e", project="p", run_id="r", session="s", sequence=0))
    with gateway_over(gateway_settings(broker, topics)) as url:
        small = join_events([event(0)])
        large = join_events([event(0), noise + struct.pack("30000d", *(1 / n for n in range(1, 30_001)))])
        answer = httpx.post(url + URL, content=large)
        assert named(answer) == (413, "event-too-large")
        assert answer.json()["index"] == 1
        assert answer.json()["event_bytes"] < 100_000
        # What compresses to less is accepted, and neither breaks the producer.
        assert httpx.post(url + URL, content=join_events([noise + bytes(200_000)])).status_code == 200
        # The limit is lowered while the gateway runs: the brokers refuse, and the gateway learns it.
        asyncio.run(limit_topic(broker, topics.events, 2_000))
        medium = join_events([noise + struct.pack("5000d", *(1 / n for n in range(1, 5_001)))])
        assert named(httpx.post(url + URL, content=medium)) == (503, "kafka-unavailable")
        for _ in range(100):
            answer = httpx.post(url + URL, content=medium)
            if answer.status_code != 503:
                break
        assert named(answer) == (413, "event-too-large")
        assert httpx.post(url + URL, content=small).status_code == 200


def test_a_key_writes_to_its_projects_alone(broker: str, topics: Topics, chdb_store: Store) -> None:
    keys = KeyStore(chdb_store)
    writer, _ = keys.create("node", "me", [Grant.parse("write:e/p"), Grant.parse("read")])
    reader, _ = keys.create("colleague", "you", [Grant.parse("read")])
    with gateway_over(gateway_settings(broker, topics), chdb_store) as url, httpx.Client(base_url=url) as client:
        own, both = join_events([event(0)]), join_events([event(0), event(1), event(2, project="other")])
        for key, body, status, kind in (
            ("", own, 401, "unauthenticated"),
            ("stepwell-" + "0" * 64, own, 401, "unauthenticated"),
            (reader.text, own, 403, "forbidden"),
            (writer.text, both, 403, "forbidden"),
        ):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            answer = client.post(URL, content=body, headers=headers)
            assert named(answer) == (status, kind), answer.text
            assert not key or key not in answer.text
        (described,) = answer.json()["errors"]
        assert (described["field"], described["value"]) == ("events.2", "e/other")
        assert "write:e/other" in described["remedy"]
        assert records(broker, topics.events) == []
        headers = {"authorization": f"Bearer {writer.text}"}
        assert client.post(URL, content=own, headers=headers).status_code == 200
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        assert client.get("/metrics").status_code == 401


def test_without_brokers_a_request_is_to_be_repeated(topics: Topics) -> None:
    settings = gateway_settings("127.0.0.1:9", topics)
    with gateway_over(settings, ready=False) as url, httpx.Client(base_url=url) as client:
        answer = client.post(URL, content=join_events([event(0)]))
        assert named(answer) == (503, "kafka-unavailable")
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert named(client.get("/readyz")) == (503, "not-ready")
        assert client.get("/healthz").json() == {"status": "ok"}
        assert "stepwell_gateway_kafka_up 0.0" in client.get("/metrics").text
