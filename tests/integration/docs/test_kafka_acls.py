"""Kafka with SCRAM over TLS and ACLs: the roles do their work with the ACLs of docs/operating.md, not with fewer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

import stepwell
from stepwell.delivery.connection import Connection
from stepwell.errors import NotConnectedError
from stepwell.settings import ProducerSettings
from stepwell_deploy.topics import set_up_topics
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.settings import KafkaSettings
from stepwell_schemas.topics import TopicOptions
from support.paths import ROOT
from support.servers.ingest import counted, ingesting, until
from support.servers.secured_kafka import Acl, SecuredKafka
from support.servers.stack import limit_topic

T = TypeVar("T")
Act = Callable[[], Awaitable[T]]

PRODUCER, INGESTOR, SETUP = "stepwell-producer", "stepwell-ingestor", "stepwell-setup"
EVENTS, DEADLETTERS = "stepwell.events", "stepwell.deadletters"
_ACL = re.compile(r"--allow-principal User:(\S+) --operation (\S+) --(topic|group) (\S+)")
_SECONDS = 30.0
_ALARM = "stepwell_ingestor_deadletter_topic_alarm"

pytestmark = pytest.mark.timeout(240)


def documented_acls(user: str) -> list[Acl]:
    """Return the ACLs of a user, as the operator's guide creates them."""
    text = (ROOT / "docs" / "operating.md").read_text("utf-8")
    return [acl for acl in (Acl(*groups) for groups in _ACL.findall(text)) if acl.user == user]


async def accepted(act: Act[T]) -> T:
    """Repeat an act until it succeeds: the broker applies ACLs a moment after it has accepted them."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                return await act()
            except (KafkaError, NotConnectedError):
                await asyncio.sleep(0.05)


async def refused(act: Act[object]) -> Exception:
    """Repeat an act until the broker refuses it, and return the error."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                await act()
            except (KafkaError, NotConnectedError) as error:
                return error
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker with a user for each role, and no ACL."""
    broker = SecuredKafka(tmp_path_factory.mktemp("kafka") / "broker", [PRODUCER, INGESTOR, SETUP])
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def ready(kafka: SecuredKafka) -> SecuredKafka:
    """The broker with all documented ACLs, and with the topics."""
    acls = [acl for user in (PRODUCER, INGESTOR, SETUP) for acl in documented_acls(user)]
    asyncio.run(kafka.allow(acls))
    asyncio.run(accepted(lambda: set_up(kafka)))
    return kafka


async def set_up(kafka: SecuredKafka) -> list[str]:
    report = await set_up_topics(KafkaSettings(**kafka.settings(SETUP)), 1, 1, TopicOptions())
    assert report.differences == []
    return report.created


async def until_differing(kafka: SecuredKafka, topics: set[str]) -> None:
    """Wait until `setup` reports differences of these topics: it compares those that it may describe."""
    async with asyncio.timeout(_SECONDS):
        found: set[str] | None = None
        while found != topics:
            report = await set_up_topics(KafkaSettings(**kafka.settings(SETUP)), 1, 1, TopicOptions())
            assert report.created == []
            found = {difference.topic for difference in report.differences}


async def set_up_again(kafka: SecuredKafka) -> None:
    """Delete the topics, as the administrator, and set them up."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics(list({EVENTS, DEADLETTERS} & set(await admin.list_topics())))
    finally:
        await admin.close()
    await set_up(kafka)


def test_setup_creates_and_compares_the_topics_with_its_acls_and_not_with_fewer(kafka: SecuredKafka) -> None:
    acls = documented_acls(SETUP)
    create = [acl for acl in acls if acl.operation == "Create"]
    describe_configs = [acl for acl in acls if acl.operation == "DescribeConfigs"]
    describe = [acl for acl in acls if acl.operation == "Describe"]
    assert sorted(acls) == sorted([*create, *describe_configs, *describe])

    async def run() -> None:
        await kafka.allow(acls)
        for acl in create:
            await kafka.forbid([acl])
            assert "uthorization" in str(await refused(lambda: set_up_again(kafka)))
            await kafka.allow([acl])
        await accepted(lambda: set_up(kafka))
        assert await accepted(lambda: set_up(kafka)) == []
        for acl in describe_configs:
            await kafka.forbid([acl])
            assert "uthorization" in str(await refused(lambda: set_up(kafka)))
            await kafka.allow([acl])
            await accepted(lambda: set_up(kafka))
        for topic in (EVENTS, DEADLETTERS):
            await limit_topic(kafka.bootstrap_servers, topic, 1_000)
        for acl in describe:
            await kafka.forbid([acl])
            await until_differing(kafka, {EVENTS, DEADLETTERS} - {acl.name})
            await kafka.allow([acl])
            await until_differing(kafka, {EVENTS, DEADLETTERS})
        await set_up_again(kafka)

    asyncio.run(run())


def test_the_sdk_and_the_ingestor_work_with_their_acls(ready: SecuredKafka, chdb_store: Store, tmp_path: Path) -> None:
    log_points(ready, tmp_path, 3)

    async def run() -> None:
        await send_unreadable(ready)
        async with ingesting(ingestor_settings(ready, tmp_path), chdb_store), administrator(ready) as consumer:
            await until(counted(chdb_store, "numbers"), 3)
            letter = await asyncio.wait_for(consumer.getone(), _SECONDS)
            assert letter.value == b"?"

    asyncio.run(run())
    assert REGISTRY.get_sample_value(_ALARM) == 0


def test_the_sdk_is_refused_without_its_acl_and_with_a_wrong_password(ready: SecuredKafka, tmp_path: Path) -> None:
    (acl,) = documented_acls(PRODUCER)
    right = ProducerSettings(**ready.settings(PRODUCER))
    wrong = ProducerSettings(**ready.settings(PRODUCER, password="another"))
    untrusted = ProducerSettings(**{**ready.settings(PRODUCER), "kafka_ssl_cafile": None})

    async def run() -> None:
        await accepted(lambda: connect(right))
        for settings in (wrong, untrusted):
            with pytest.raises(NotConnectedError):
                await connect(settings)
        await ready.forbid([acl])
        assert "AuthorizationFailed" in str(await refused(lambda: connect(right)))
        await ready.allow([acl])

    asyncio.run(run())


@pytest.mark.parametrize("missing", documented_acls(INGESTOR), ids=lambda acl: f"{acl.operation}-{acl.name}")
def test_an_ingestor_needs_each_of_its_acls(
    ready: SecuredKafka, missing: Acl, chdb_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ingestor_settings(ready, tmp_path)

    async def run() -> None:
        await ready.forbid([missing])
        if missing.name == DEADLETTERS:
            await send_unreadable(ready)
            async with ingesting(settings, chdb_store):
                await until(lambda: REGISTRY.get_sample_value(_ALARM), 1)
        elif missing.name == EVENTS:
            # It waits, as for a topic that does not exist yet.
            async with ingesting(settings, chdb_store):
                await until(lambda: f"Topic {EVENTS} is not authorized" in caplog.text, True)
        else:
            with pytest.raises(KafkaError, match="uthoriz"):
                await asyncio.wait_for(Ingestor(settings, chdb_store).run(), _SECONDS)

    try:
        asyncio.run(run())
    finally:
        asyncio.run(ready.allow([missing]))


def log_points(kafka: SecuredKafka, folder: Path, points: int) -> None:
    """Log with the SDK as the producer."""
    settings = {**kafka.settings(PRODUCER), "base_url": "http://127.0.0.1:9", "dir": folder, "entity": "me"}
    run = stepwell.init(project="p", settings=settings)
    for value in range(points):
        run.log({"loss": value})
    run.finish()


def ingestor_settings(kafka: SecuredKafka, folder: Path) -> IngestorSettings:
    return IngestorSettings(
        **kafka.settings(INGESTOR),
        ingestor_flush_seconds=0.05,
        ingestor_deadletter_seconds=0.5,
        media_url=str(folder / "media"),
    )


async def connect(settings: ProducerSettings) -> None:
    transport = await Connection(settings, "test").open()
    await transport.stop()


async def send_unreadable(kafka: SecuredKafka) -> None:
    """Send what becomes a dead letter, as the producer."""
    connection = KafkaSettings(**kafka.settings(PRODUCER)).kafka_connection()
    async with AIOKafkaProducer(**connection) as producer:
        await accepted(lambda: producer.send_and_wait(EVENTS, b"?", key=b"me/p/bad"))


@asynccontextmanager
async def administrator(kafka: SecuredKafka) -> AsyncIterator[AIOKafkaConsumer]:
    """Read the dead letters from now on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    async with consumer:
        partition = TopicPartition(DEADLETTERS, 0)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        yield consumer
