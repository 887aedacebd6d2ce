"""One seed after the other on one cluster: log under faults, wait for recovery, compare with the model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reliability.faults.cluster import Broker, Cluster, wait_until
from reliability.faults.compare import Account, compare
from reliability.faults.deletions import RunDeletion
from reliability.faults.model import RunModel
from reliability.faults.part import Part
from reliability.faults.producers import FOREIGN_RUN, Foreign, Trainer, project
from reliability.faults.schedule import Fault, faults
from reliability.faults.workload import writers
from stepwell_ingestor.kafka.committed_offsets import read_commit
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings

_GROUP: Final = "stepwell-ingestor"
_FINISH_SECONDS: Final = 180.0
_SETTLE_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.02
_FIRST_FAULT_SECONDS: Final = 2.0

# aiokafka's log lines about missing brokers would hide the report.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())
logging.getLogger("aiokafka").propagate = False


@dataclass
class Result:
    """Statistics and differences of a seed."""

    seed: int
    account: Account
    models: dict[str, RunModel]
    done: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """True if nothing differs."""
        return not self.account.differences

    def __str__(self) -> str:
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        account = self.account
        counts = f"{account.points:,} points, {account.lost} lost, {account.invented} duplicated"
        counts = f"{counts}, {account.rollups:,} rollups"
        line = f"seed {self.seed}: {'passed' if self.passed else 'FAILED'} in {self.seconds:.0f} s: {counts}; {done}"
        return "\n  ".join([line, *self.account.differences])


class Harness:
    """Runs seeds on a cluster, which serves many of them: each seed has its own project."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._say = say
        self._deletions: list[RunDeletion] = []

    def run(self, seed: int) -> Result:
        """Run a seed. Raises: AssertionError when something does not arrive, or a session violates its guarantees."""
        began = time.monotonic()
        before = self._counts([])
        models = {name: RunModel() for name in (*{writer.run for writer in writers(seed)}, FOREIGN_RUN)}
        folder = self._cluster.folder / project(seed)
        trainers = []
        for writer in writers(seed):
            # Writers of one run have separate folders, as on separate machines, so each delivers only its own journals;
            # except for the ranks of a launch, which deliver what others of their machine have left.
            own = folder / (writer.run if writer.launched else f"{writer.run}{writer.name}")
            own.mkdir(parents=True, exist_ok=True)
            trainers.append(Trainer(self._cluster, seed, writer, models[writer.run], own))
        foreign = Foreign(self._cluster, seed, models[FOREIGN_RUN])
        self._deletions = []
        try:
            done = self._inject(seed, trainers, models)
            self._finish(trainers, foreign)
            account = self._compare(seed, models, trainers, foreign)
        finally:
            for trainer in trainers:
                trainer.stop()
            for deletion in self._deletions:
                deletion.stop()
            foreign.stop()
        done["writers over HTTP"] += sum(trainer.over_http for trainer in trainers)
        done["points after deletions"] += sum(model.points for model in models.values() if model.deletions)
        done += Counter(self._counts(trainers)) - Counter(before)
        return Result(seed, account, models, done, time.monotonic() - began)

    def _supervise(self, trainers: list[Trainer]) -> None:
        self._cluster.supervise()
        for deletion in self._deletions:
            deletion.supervise(time.monotonic())
        for trainer in trainers:
            trainer.supervise(time.monotonic())

    def _counts(self, trainers: list[Trainer]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for part in (*self._cluster.parts, *trainers):
            kind = "trainer" if isinstance(part, Trainer) else part.name.rstrip("01")
            found[f"{kind} kills"] += part.killed
            found[f"{kind} exits"] += len(part.exits)
        return dict(found)

    def _inject(self, seed: int, trainers: list[Trainer], models: Mapping[str, RunModel]) -> Counter[str]:
        done: Counter[str] = Counter()
        wait = _FIRST_FAULT_SECONDS
        for fault in faults(seed):
            self._wait(wait + fault.gap, trainers)
            wait = 0.0
            self._say(f"seed {seed}: {fault}")
            now = time.monotonic()
            if fault.action == "reset":
                proxy = self._cluster.broker_proxy if fault.part == "broker" else self._cluster.engine_proxy
                done["connections reset"] += proxy.reset()
                continue
            if fault.action == "strike":
                self._cluster.strike(now, fault.seconds)
                continue
            if fault.action == "delete":
                done["deletions"] += self._delete(seed, fault.number, trainers, models)
                continue
            if fault.part == "launch":
                for trainer in trainers:
                    trainer.kill(now, fault.seconds)
                continue
            part = self._part(fault, trainers)
            if fault.action == "kill":
                part.kill(now, fault.seconds)
            elif fault.action == "pause":
                part.pause(now, fault.seconds)
                done["pauses"] += 1
                if isinstance(part, Trainer):
                    self._wait(fault.seconds, trainers)
                    part.resume()
            elif isinstance(part, Part):
                part.terminate(now)
        return done

    def _delete(self, seed: int, number: int, trainers: list[Trainer], models: Mapping[str, RunModel]) -> int:
        """Begin to delete a run of the trainers, unless it is being deleted; return 1 if so."""
        runs = sorted({trainer.writer.run for trainer in trainers})
        path = RunPath("faults", project(seed), runs[number // 2 % len(runs)])
        if any(deletion.path == path and not deletion.done for deletion in self._deletions):
            return 0
        among = [trainer for trainer in trainers if trainer.writer.run == path.run_id]
        model = models[path.run_id]
        self._deletions.append(RunDeletion(self._cluster, path, model, among, restarts=bool(number % 2)))
        return 1

    def _part(self, fault: Fault, trainers: list[Trainer]) -> Part | Broker | Trainer:
        chosen: dict[str, list[Any]] = {
            "ingestor": list(self._cluster.ingestors),
            "engine": [self._cluster.engine],
            "broker": [self._cluster.broker],
            "query": [self._cluster.query],
            "gateway": [self._cluster.gateway],
            "trainer": [trainer for trainer in trainers if not trainer.done] or trainers,
        }
        among = chosen[fault.part]
        found: Part | Broker | Trainer = among[fault.number % len(among)]
        return found

    def _wait(self, seconds: float, trainers: list[Trainer]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._supervise(trainers)
            time.sleep(_TICK_SECONDS)

    def _finish(self, trainers: list[Trainer], foreign: Foreign) -> None:
        def supervise() -> None:
            self._supervise(trainers)

        def all_done() -> bool:
            return foreign.done and all(one.done for one in self._deletions) and all(one.done for one in trainers)

        wait_until(all_done, supervise, _FINISH_SECONDS, "the end of every training process")
        wait_until(lambda: settled(self._cluster.settings), supervise, _SETTLE_SECONDS, "the end of ingestion")

    def _compare(self, seed: int, models: dict[str, RunModel], trainers: list[Trainer], foreign: Foreign) -> Account:
        with self._cluster.store() as store:
            account = compare(store, project(seed), models)
        letters = {
            value for value in dead_letters(self._cluster.settings) if value.startswith(f"poison {seed} ".encode())
        }
        account.note("dead letters", sorted(foreign.poison), sorted(letters))
        for trainer in trainers:
            for receipt in trainer.receipts:
                name = f"receipt of {trainer.name}"
                account.note(f"{name}: points", receipt["wanted_points"], receipt["points"])
                if receipt["stored"] is not None and not receipt["stored_note"]:
                    account.note(f"{name}: stored", receipt["wanted_points"], receipt["stored"])
        return account


def settled(settings: KafkaSettings) -> bool:
    """Return whether the group has committed the end of every partition, without an open plan."""
    return asyncio.run(_settled(settings))


async def _settled(settings: KafkaSettings) -> bool:
    admin = AIOKafkaAdminClient(**settings.kafka_connection())
    consumer = AIOKafkaConsumer(**settings.kafka_connection())
    try:
        await admin.start()
        await consumer.start()
        (topic,) = await admin.describe_topics([settings.events_topic])
        partitions = [TopicPartition(settings.events_topic, one["partition"]) for one in topic["partitions"]]
        ends = await consumer.end_offsets(partitions)
        committed = await admin.list_consumer_group_offsets(_GROUP, partitions=partitions)
        return all(
            not end or (partition in committed and read_commit(*committed[partition])[:2] == (end, ""))
            for partition, end in ends.items()
        )
    except KafkaError:
        return False
    finally:
        await consumer.stop()
        await admin.close()


def dead_letters(settings: KafkaSettings) -> list[bytes]:
    """Return the payloads of all dead letters."""
    return asyncio.run(_dead_letters(settings))


async def _dead_letters(settings: KafkaSettings) -> list[bytes]:
    partition = TopicPartition(settings.deadletters_topic, 0)
    async with AIOKafkaConsumer(**settings.kafka_connection()) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[bytes] = []
        while await consumer.position(partition) < end:
            for messages in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [message.value or b"" for message in messages]
        return found
