"""`stepwell up` killed with SIGKILL (broker, engine, ingestor and service together) while training continues."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from reliability.faults.cluster import QUICK_TRAINERS, STEPWELL, wait_until
from reliability.faults.compare import Account, compare
from reliability.faults.harness import settled
from reliability.faults.model import RunModel
from reliability.faults.part import Part
from reliability.faults.producers import FOREIGN_RUN, Foreign, Trainer, project
from reliability.faults.workload import writers
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.settings import KafkaSettings
from support.paths import TESTS
from support.servers.ports import claim_lasting_port

pytestmark = pytest.mark.timeout(600)
_SEED: Final = 77
_WAIT_SECONDS: Final = 180.0


class AllInOne:
    """One `stepwell up`, with the addresses for producers."""

    def __init__(self, folder: Path) -> None:
        service, broker = claim_lasting_port(), claim_lasting_port()
        self.folder = folder
        self.settings = KafkaSettings(kafka_bootstrap_servers=f"127.0.0.1:{broker}")
        self.environment = {
            "PYTHONPATH": str(TESTS),
            "STEPWELL_BASE_URL": f"http://127.0.0.1:{service}",
            "STEPWELL_KAFKA_PORT": str(broker),
            "STEPWELL_CLICKHOUSE_PORT": "0",
            "STEPWELL_KAFKA_HEAP_MB": "256",
            # The shortest that a broker accepts by default: after each kill, the group waits for its dead member.
            "STEPWELL_INGESTOR_SESSION_SECONDS": "6",
            **QUICK_TRAINERS,
        }
        command = [str(STEPWELL), "up", "--dir", str(folder / "server"), "--port", str(service)]
        self.process = Part("up", command, self.environment, folder)

    def answers(self) -> bool:
        """Return whether the service accepts requests."""
        try:
            return httpx.get(f"{self.environment['STEPWELL_BASE_URL']}/readyz", timeout=2).is_success
        except httpx.HTTPError:
            return False


def _compare_folder(engine: str, seed: int, models: dict[str, RunModel]) -> Account:
    with connect(f"chdb://{engine}", "stepwell") as store:
        return compare(store, project(seed), models)


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.long)])
def test_everything_killed_at_once_loses_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    up = AllInOne(tmp_path)
    models = {name: RunModel() for name in (*{writer.run for writer in writers(_SEED)}, FOREIGN_RUN)}
    trainers = []
    up.process.start()
    for writer in writers(_SEED):
        own = tmp_path / f"{writer.run}{writer.name}"
        own.mkdir()
        trainers.append(Trainer(up, _SEED, writer, models[writer.run], own))
    foreign = Foreign(up, _SEED, models[FOREIGN_RUN])

    def supervise() -> None:
        up.process.supervise(time.monotonic())
        for trainer in trainers:
            trainer.supervise(time.monotonic())

    draw = random.Random(_SEED)
    try:
        for _ in range(kills):
            wait_until(up.answers, supervise, _WAIT_SECONDS, "an answer of the service")
            kill_at = time.monotonic() + draw.uniform(1.0, 4.0)
            while time.monotonic() < kill_at:
                supervise()
                time.sleep(0.02)
            up.process.kill(time.monotonic(), 0.0)
        wait_until(
            lambda: foreign.done and all(trainer.done for trainer in trainers), supervise, _WAIT_SECONDS, "the end"
        )
        wait_until(lambda: settled(up.settings), supervise, _WAIT_SECONDS, "the end of ingestion")
    finally:
        for trainer in trainers:
            trainer.stop()
        foreign.stop()
        up.process.stop()
    # The engine allows one folder per process, and this process uses the session's.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        account = pool.apply(_compare_folder, (str(tmp_path / "server" / "clickhouse"), _SEED, models))
    assert not account.differences, "\n".join(account.differences)
    assert account.points > 0
    assert (up.process.killed, up.process.exits) == (kills, [])
