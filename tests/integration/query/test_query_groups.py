"""Groups of runs over HTTP equal those of pandas, for runs of any lengths and densities."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.views import as_number, noisy
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

Runs = dict[RunPath, tuple[NDArray[np.int64], NDArray[np.float64]]]


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[str]:
    """A database that these tests share: each adds runs of its own at most."""
    with stack.lend_database() as name:
        yield name


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store) as service:
        yield service


def path(name: str) -> RunPath:
    return RunPath("me", "groups", name)


@pytest.fixture(scope="module")
def runs(stack: Stack, database: str) -> Runs:
    """Six runs of two learning rates: long and short ones, one that begins late, one that logs every 7th step."""
    steps = [
        np.arange(50_000),
        np.arange(20_000),
        np.arange(30_000, 50_000),
        np.arange(0, 50_000, 7),
        np.arange(100),
        np.arange(40_000),
    ]
    store = stack.embedded(database)
    written: Runs = {}
    for number, own in enumerate(steps):
        run, values = path(f"run {number}"), noisy(len(own), number)
        writer = RunWriter(store, run).document(
            config={"lr": [0.1, 0.01][number % 2], "model": {"depth": number // 3}},
            tags=[["a", "a"], ["b"], ["a", "b"], [], [], []][number],
            run_group="first" if number < 2 else "",
        )
        writer.numbers("loss", own, values)
        written[run] = (own, values)
    return written


async def ask(service: Service, held: str = "", **body: Any) -> httpx.Response:
    headers = {"if-none-match": held} if held else {}
    return await service.client.post("/api/v1/groups", json=body, headers=headers)


def expected(runs: Runs, width: int, low: int, high: int) -> pd.DataFrame:
    """Return the sums over some runs, computed from their rows."""
    frames = [pd.DataFrame({"run": str(run), "step": steps, "value": values}) for run, (steps, values) in runs.items()]
    frame = pd.concat(frames)
    frame = frame[(frame["step"] >= low) & (frame["step"] <= high)]
    frame["bucket"] = frame["step"] // width
    frame["finite"] = frame["value"].where(np.isfinite(frame["value"]))
    of_run = frame.groupby(["run", "bucket"], as_index=False).agg(
        step=("step", "max"), mean=("finite", "mean"), low=("value", "min"), high=("value", "max")
    )
    return of_run.dropna(subset=["mean"]).groupby("bucket").agg(
        step=("step", "max"), mean=("mean", "mean"), min=("mean", "min"), max=("mean", "max"),
        std=("mean", "std"), count=("mean", "count"), low=("low", "min"), high=("high", "max"),
    )  # fmt: skip


def assert_group(group: dict[str, Any], table: pd.DataFrame) -> None:
    for name in table.columns:
        found = [as_number(value) for value in group[name]]
        np.testing.assert_allclose(found, table[name].to_numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


MEMBERS: dict[str | None, dict[Any, tuple[int, ...]]] = {
    "config.lr": {0.01: (1, 3, 5), 0.1: (0, 2, 4)},
    "config.model.depth": {0: (0, 1, 2), 1: (3, 4, 5)},
    "tags": {"a": (0, 2), "b": (1, 2), None: (3, 4, 5)},
    "group": {"first": (0, 1), None: (2, 3, 4, 5)},
    "config.none": {None: (0, 1, 2, 3, 4, 5)},
    None: {None: (0, 1, 2, 3, 4, 5)},
}


async def test_groups_by_what_runs_have(service: Service, runs: Runs) -> None:
    paths = list(runs)
    for group_by, members in MEMBERS.items():
        answer = (await ask(service, runs=[*map(str, paths)], keys=["loss"], group_by=group_by, points=100)).json()
        assert [group["value"] for group in answer["groups"]] == list(members)
        assert [group["runs"] for group in answer["groups"]] == [
            [str(paths[number]) for number in numbers] for numbers in members.values()
        ]
        (series,) = answer["series"]
        assert (series["key"], series["bucket_width"], series["last_step"]) == ("loss", 512, 49_999)
        assert [group["value"] for group in series["groups"]] == list(members)
        for group, numbers in zip(series["groups"], members.values(), strict=True):
            own = {paths[number]: runs[paths[number]] for number in numbers}
            assert_group(group, expected(own, 512, 0, 49_999))


async def test_a_range_of_steps(service: Service, runs: Runs) -> None:
    for low, high, width in ((25_100, 44_444, 256), (20_000, 20_090, 1), (0, 40_000, 512)):
        query: dict[str, Any] = {"from": low, "to": high}
        answer = (await ask(service, runs=[*map(str, runs)], keys=["loss"], points=100, **query)).json()
        (series,) = answer["series"]
        assert series["bucket_width"] == width
        assert_group(series["groups"][0], expected(runs, width, low, high))


async def test_groups_of_choice_over_buckets_that_are_filled(service: Service, runs: Runs, chdb_store: Store) -> None:
    paths = list(runs)
    groups = {"short": [str(paths[4])], "long": [str(paths[0]), str(paths[5])], "both": [str(paths[0]), str(paths[4])]}
    answer = (await ask(service, groups=groups, keys=["loss"], points=100)).json()
    assert {group["value"]: set(group["runs"]) for group in answer["groups"]} == {
        name: set(own) for name, own in groups.items()
    }
    (series,) = answer["series"]
    for group in series["groups"]:
        own = {path: runs[path] for path in paths if str(path) in groups[group["value"]]}
        assert_group(group, expected(own, 512, 0, 49_999))
    # Runs that log at different steps meet in buckets as wide as the steps between two rows.
    sparse = {path(f"sparse {number}"): np.arange(20) * 100 + number * 37 for number in range(3)}
    for run, steps in sparse.items():
        RunWriter(chdb_store, run).document().numbers("eval", steps, steps * 1.0)
    for filled, width, most in ((False, 2, 1), (True, 128, 3)):
        query: dict[str, Any] = {"runs": [*map(str, sparse)], "keys": ["eval"], "points": 1_000, "filled": filled}
        (series,) = (await ask(service, **query)).json()["series"]
        (group,) = series["groups"]
        assert (series["bucket_width"], max(group["count"])) == (width, most)


async def test_what_is_unknown_is_said_and_other_runs_count(service: Service, runs: Runs, chdb_store: Store) -> None:
    RunWriter(chdb_store, path("other")).document().numbers("Acc", [1], [0.5]).spelling("Acc")
    paths = [*map(str, runs), str(path("other")), "me/groups/none"]
    answer = (await ask(service, runs=paths, keys=["acc", "ACC", "nothing", "loss"])).json()
    assert answer["unknown_runs"] == ["me/groups/none"]
    assert answer["unknown_keys"] == ["nothing"]
    assert [series["key"] for series in answer["series"]] == ["acc", "loss"]
    assert answer["series"][0]["groups"][0] | {"std": None} == {
        "value": None, "step": [1], "mean": [0.5], "min": [0.5], "max": [0.5], "std": None, "count": [1],
        "low": [0.5], "high": [0.5],
    }  # fmt: skip
    assert answer["series"][0]["groups"][0]["std"] == ["NaN"]
    assert answer["complete_to"][str(path("other"))]["step"] == 1


async def test_as_a_table_and_by_entity_tag(service: Service, runs: Runs) -> None:
    body: dict[str, Any] = {"runs": [*map(str, runs)], "keys": ["loss"], "group_by": "config.lr", "points": 100}
    first = await ask(service, **body)
    assert (await ask(service, first.headers["etag"], **body)).status_code == 304
    csv = await service.client.post("/api/v1/groups?format=csv", json=body)
    table = pd.read_csv(io.StringIO(csv.text))
    assert table.columns[:5].tolist() == ["key", "kind", "group", "bucket_width", "step"]
    assert table[table["group"] == 0.1]["mean"].tolist() == first.json()["series"][0]["groups"][1]["mean"]
    empty = await service.client.post("/api/v1/groups?format=csv", json=body | {"keys": ["nothing"]})
    assert empty.text.splitlines() == [csv.text.splitlines()[0]]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "config."}, "group_by"),
        ({"keys": []}, "keys"),
        ({"runs": []}, "runs"),
        ({"runs": [], "groups": {"a": []}}, "runs"),
        ({"groups": {"a": ["me/groups/run 0"]}}, "groups"),
        ({"runs": [], "groups": {"a": ["me/groups/run 0"]}, "group_by": "tags"}, "groups"),
        ({"x": "_step"}, "x"),
        ({"from": 5, "to": 4}, "to"),
        ({"points": 10_001}, "points"),
        ({"keys": [f"k{number}" for number in range(1_001)], "points": 1}, "key"),
    ],
)
async def test_bad_parameters_name_field_rule_and_remedy(service: Service, more: dict[str, Any], field: str) -> None:
    refused = await ask(service, **{"runs": ["me/groups/run 0"], "keys": ["loss"]} | more)
    assert refused.status_code == 422
    error = refused.json()["errors"][0]
    assert error["field"] == field
    assert error["rule"]
    assert error["remedy"]
