"""One suite for both transports, over a real broker and a real service: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

import stepwell
from stepwell.delivery.connection import Connection
from stepwell.delivery.transport import EventTooLargeError, Transport, TransportError
from stepwell.settings import ProducerSettings
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from support.readers.events import read_events
from support.servers.one_address import damaging_proxy, one_address
from support.servers.ports import claim_lasting_port
from support.servers.sdk import Served, eventually
from support.servers.stack import Topics, limit_topic

RUN = RunPath("me", "p", "run")

SCRIPT = """
import sys, numpy, stepwell
run = stepwell.init(id="run", config={"lr": 0.1}, settings={"console": "auto"})
print("a line")
for row in range(int(sys.argv[1])):
    run.log({"row": row, "loss": 1 / (row + 1)})
run.log({"picture": stepwell.Image(numpy.zeros((9, 9, 3), "uint8"))})
run.summary["best"] = 7
receipt = run.finish()
print(receipt.pending, receipt.content_same, repr(receipt.error), receipt.set_aside, flush=True)
"""

KILLED = """
import os, signal, sys, stepwell
run = stepwell.init(id="run", resume="allow", settings={"poll_seconds": 0.001})
for row in range(500):
    run.log({"row": row})
print("logged", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["kafka", "http"])
def transported(
    request: pytest.FixtureRequest, sdk: Served, broker: str, topics: Topics, chdb_store: Store
) -> Iterator[Served]:
    """The service, reached by each transport; over HTTP, nothing but its one address is known."""
    if request.param == "kafka":
        yield replace(sdk, environment={**sdk.environment, "STEPWELL_TRANSPORT": "kafka"})
        return
    with one_address(chdb_store, broker, topics, media_url=str(sdk.folder / "media")) as url:
        yield replace(sdk, environment=http_environment(sdk, url))


def http_environment(sdk: Served, url: str) -> dict[str, str]:
    environment = {**sdk.environment, "STEPWELL_BASE_URL": url, "STEPWELL_TRANSPORT": "http"}
    del environment["STEPWELL_KAFKA_BOOTSTRAP_SERVERS"], environment["STEPWELL_EVENTS_TOPIC"]
    return environment


def are_stored(served: Served, rows: int) -> None:
    eventually(lambda: served.numbers("row"), [(row, float(row)) for row in range(rows)])


def event(number: int, text: str = "") -> bytes:
    return encode(LogEvent(**RUN._asdict(), session="s", sequence=number, data={"row": number, "text": text}))


def test_a_run_is_stored_in_full_and_its_receipt_says_so(transported: Served) -> None:
    out, err = transported.run(SCRIPT, "2000")
    assert out.splitlines()[-1] == "0 True '' 0", err
    are_stored(transported, 2_000)
    assert transported.state() == "finished"
    assert transported.count("media") == 1
    assert transported.count("step_conflicts") == 0
    assert transported.journals() == []


def test_a_killed_run_is_continued_and_every_row_counts_once(transported: Served) -> None:
    with transported.start(KILLED) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "logged\n"
        killed.communicate("\n", timeout=60)
    assert killed.returncode == -signal.SIGKILL
    transported.run(KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "run.finish()"), code=0)
    eventually(lambda: [int(value) for _, value in transported.numbers("row")], [*range(500), *range(500)])
    assert transported.journals() == []


def test_an_offline_run_is_synced_twice_and_counts_once(transported: Served) -> None:
    transported.run(SCRIPT, "300", STEPWELL_MODE="offline", STEPWELL_KEEP_JOURNAL="true")
    for _ in range(2):
        results = json.loads(transported.command("sync", "--json")[0])
        assert {result["error"] for result in results} == {""}, results
    are_stored(transported, 300)
    # Over Kafka, sync ends when all is on the log, and the picture is in a later flush than the rows may be.
    eventually(lambda: (transported.count("media"), transported.state()), (1, "finished"))


def test_events_keep_their_order_and_an_acknowledged_one_is_on_the_log(
    transported: Served, broker: str, topics: Topics
) -> None:
    async def send() -> None:
        transport = await connect(transported)
        futures = [await transport.send(event(number), RUN.kafka_key) for number in range(200)]
        for future in futures:
            await transport.wait(future)
        await transport.send(event(200), RUN.kafka_key)
        await transport.stop()

    asyncio.run(send())
    assert [found.sequence for found in read_events(broker, topics.events)][:200] == list(range(200))


def test_an_event_that_is_too_large_is_refused_and_others_can_be_sent_after_a_renewal(
    transported: Served, broker: str, topics: Topics
) -> None:
    asyncio.run(limit_topic(broker, topics.events, 20_000))
    noise = os.urandom(20_000).hex()

    async def send() -> None:
        transport = await connect(transported)
        with pytest.raises(TransportError) as refused:
            await transport.wait(await transport.send(event(0, noise), RUN.kafka_key))
        while not isinstance(refused.value, EventTooLargeError):
            # The limit was lowered after the gateway has read it: it reads it again when the brokers refuse.
            await transport.stop()
            transport = await connect(transported)
            with pytest.raises(TransportError) as refused:
                await transport.wait(await transport.send(event(0, noise), RUN.kafka_key))
        before = transport.generation
        await transport.renew(15_000)
        assert transport.generation == before + 1
        assert transport.max_message_bytes == 15_000
        await transport.wait(await transport.send(event(1), RUN.kafka_key))
        await transport.stop()

    asyncio.run(send())
    assert [found.sequence for found in read_events(broker, topics.events)] == [1]


async def connect(served: Served) -> Transport:
    return await Connection(ProducerSettings(**served.settings), "test").open()


def test_a_row_that_fits_no_event_is_set_aside_and_what_follows_is_stored(
    transported: Served, broker: str, topics: Topics
) -> None:
    asyncio.run(limit_topic(broker, topics.events, 100_000))
    run = stepwell.init(id="run", settings=transported.settings)
    noise = random.Random(0)  # what does not compress
    for row in range(1_000):
        run.log({"row": row, **({f"wide/{key}": noise.random() for key in range(20_000)} if row == 500 else {})})
    receipt = run.finish(timeout=60)
    assert (receipt.pending, receipt.set_aside, receipt.blocked) == (0, 1, "")
    eventually(lambda: len(transported.numbers("row")), 999)


def test_a_service_that_comes_late_gets_everything(sdk: Served, broker: str, topics: Topics, chdb_store: Store) -> None:
    port = claim_lasting_port()
    environment = http_environment(sdk, f"http://127.0.0.1:{port}") | {"STEPWELL_RETRY_SECONDS": "0.2"}
    served = replace(sdk, environment=environment)
    with served.start(KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "run.finish()")) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "logged\n"
        with one_address(chdb_store, broker, topics, port):
            _, err = running.communicate("\n", timeout=60)
    assert running.returncode == 0, err
    assert "no server at" in err
    are_stored(served, 500)


def test_a_refused_key_is_named_and_training_goes_on(
    sdk: Served, broker: str, topics: Topics, chdb_store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = KeyStore(chdb_store)
    other, _ = keys.create("node", "me", [Grant.parse("write:me/other")])
    right, _ = keys.create("node", "me", [Grant.parse("write:me/p")])
    with one_address(chdb_store, broker, topics) as url:
        served = replace(sdk, environment=http_environment(sdk, url))
        for text in ("stepwell-" + "0" * 64, other.text):
            run = stepwell.init(id="run", settings=served.settings | {"api_key": text, "retry_seconds": 0.1})
            run.log({"row": 0})
            began = time.monotonic()
            receipt = run.finish(timeout=120)
            assert time.monotonic() - began < 60, "the answer is final, so that it is not waited for"
            assert receipt.blocked == "not-authorized", receipt
            assert receipt.pending
            assert "stepwell login" in receipt.error
            said = capfd.readouterr().err
            assert "STEPWELL_API_KEY" in said
            assert text not in said + receipt.error
        assert not read_events(broker, topics.events)
        command = json.loads(served.command("sync", "--json", STEPWELL_API_KEY=right.text)[0])
        assert {result["error"] for result in command} == {""}, command
    eventually(lambda: served.count("numbers"), 2)


def test_a_key_that_is_revoked_during_the_run_ends_finish_and_loses_nothing(
    sdk: Served, broker: str, topics: Topics, chdb_store: Store
) -> None:
    """Until then, rows are stored; the others stay in the journal, for a key that may write."""
    keys = KeyStore(chdb_store)
    revoked, stored = keys.create("node", "me", [Grant.parse("write:me/p")])
    right, _ = keys.create("node", "me", [Grant.parse("write:me/p")])
    with one_address(chdb_store, broker, topics) as url:
        served = replace(sdk, environment=http_environment(sdk, url))
        run = stepwell.init(id="run", settings=served.settings | {"api_key": revoked.text, "retry_seconds": 0.1})
        run.log({"row": 0})
        are_stored(served, 1)
        keys.revoke(stored)
        sent = {"Authorization": f"Bearer {revoked.text}"}
        eventually(lambda: httpx.get(f"{url}/api/v1/whoami", headers=sent).status_code, 401)
        run.log({"row": 1})
        began = time.monotonic()
        receipt = run.finish(timeout=120)
        assert time.monotonic() - began < 60
        assert (receipt.blocked, receipt.journal is not None) == ("not-authorized", True), receipt
        assert "stepwell login" in receipt.error
        assert "stepwell sync" in str(receipt)
        results = json.loads(served.command("sync", "--json", STEPWELL_API_KEY=right.text)[0])
        assert {result["error"] for result in results} == {""}, results
    are_stored(served, 2)


@pytest.mark.parametrize("damages", [["drop", "pass"], ["double"], ["cut", "pass", "refuse", "double", "drop", "pass"]])
def test_damaged_requests_lose_nothing_and_double_nothing(
    sdk: Served, broker: str, topics: Topics, chdb_store: Store, damages: list[str]
) -> None:
    with one_address(chdb_store, broker, topics) as url, damaging_proxy(url, damages) as (proxy, done):
        environment = http_environment(sdk, proxy) | {
            "STEPWELL_RETRY_SECONDS": "0.1",
            "STEPWELL_POLL_SECONDS": "0.001",
        }
        served = replace(sdk, environment=environment)
        script = SCRIPT.replace('"loss": 1 / (row + 1)})', '"loss": 1 / (row + 1)})\n    row % 50 or time.sleep(0.05)')
        out, err = served.run(script.replace("import sys,", "import sys, time,"), "1000")
        assert out.splitlines()[-1] == "0 True '' 0", err
    assert set(done) == set(damages), "every damage was done"
    are_stored(served, 1_000)
    assert served.count("step_conflicts") == 0
    assert sum(row["n"] for row in chdb_store.query(
        "SELECT count() AS n FROM {db}.numbers WHERE run_id = 'run' AND key = 'row'"
    ).to_pylist()) == 1_000  # fmt: skip


GATEWAY_KILLED = """
import sys, threading, stepwell
run = stepwell.init(id="run")
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
row = 0
while not ended.wait(0.001):
    run.log({"row": row, **{f"key{number}": row / (number + 1) for number in range(50)}})
    row += 1
receipt = run.finish()
print(row, receipt.pending, flush=True)
"""


def has_more_rows(served: Served, count: int) -> None:
    eventually(lambda: len(served.numbers("row")) > count, True)


def test_a_gateway_that_is_killed_during_requests_loses_nothing(sdk: Served) -> None:
    port = claim_lasting_port()
    gateway = {name: value for name, value in sdk.environment.items() if "KAFKA" in name or "TOPIC" in name}
    quick = {"STEPWELL_RETRY_SECONDS": "0.1", "STEPWELL_POLL_SECONDS": "0.001", "STEPWELL_TRANSPORT": "http"}
    environment = http_environment(sdk, f"http://127.0.0.1:{port}") | quick
    # The gateway alone: what is stored can't be read at its address.
    served = replace(sdk, environment=environment)
    with served.start(GATEWAY_KILLED) as running:
        for _ in range(3):
            process = replace(sdk, environment=gateway).start_command("gateway", "--port", str(port))
            has_more_rows(sdk, len(sdk.numbers("row")))
            process.kill()
            process.communicate()
        with replace(sdk, environment=gateway).start_command("gateway", "--port", str(port)) as last:
            out, err = running.communicate(timeout=100)
            last.terminate()
            last.communicate(timeout=30)
    assert (running.returncode, last.returncode) == (0, 0), err
    rows, pending = map(int, out.split())
    assert pending == 0, err
    are_stored(sdk, rows)
    assert sdk.count("step_conflicts") == 0
