"""A short fixed set of seeds; `make soak SEEDS=50` runs fresh ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reliability.faults.cluster import Cluster, running
from reliability.faults.compare import compare
from reliability.faults.harness import Harness, Result
from reliability.faults.producers import project

# Two seeds with their processes take a minute and a half on an idle machine.
pytestmark = pytest.mark.timeout(600)
_SEEDS = (2, 12)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The processes that the seeds share."""
    with running(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="module")
def results(cluster: Cluster) -> dict[int, Result]:
    """The results of the seeds."""
    harness = Harness(cluster, print)
    return {seed: harness.run(seed) for seed in _SEEDS}


@pytest.mark.parametrize("seed", _SEEDS)
def test_every_point_is_stored_once_whatever_dies(results: dict[int, Result], seed: int) -> None:
    result = results[seed]
    assert result.passed, f"{result}\nreplay it with: make soak SEEDS=1 FIRST={seed}"
    assert result.account.rollups > 150
    assert sum(count for what, count in result.done.items() if what.endswith("kills")) >= 3


def test_the_comparison_sees_a_lost_point_and_one_stored_twice(cluster: Cluster, results: dict[int, Result]) -> None:
    run = {"project": project(_SEEDS[0])}
    here = "project = {project:String} AND run_id = 'solo' AND key = 'call'"
    with cluster.store() as store:
        store.command(
            f"ALTER TABLE {{db}}.points_number DELETE WHERE {here} AND value = 200 SETTINGS mutations_sync = 1", run
        )
        # A merge would combine the two rows.
        store.command("SYSTEM STOP MERGES {db}.points_number")
        columns = "entity, project, run_id, key, step, timestamp, bits, exact, version"
        copy = f"SELECT {columns} FROM {{db}}.points_number FINAL WHERE {here} AND value = 100"
        store.command(f"INSERT INTO {{db}}.points_number ({columns}) {copy}", run)
        account = compare(store, run["project"], results[_SEEDS[0]].models)
    assert (account.lost, account.invented) == (1, 1)
