"""Rows that recent requests have read: views of them are those of the tables, whatever was stored since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.retention.boundaries import forget_projects
from stepwell_schemas.rules.identifiers import RunPath
from support.draws import draws
from support.factories.points import RunWriter, attach_tables
from support.readers.views import noisy, points_of
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "known", "run")
TABLES = ("points_number", "rollups", "series", "run_activity", "run_documents")
LAST = 299_999
Query = dict[str, Any]


@pytest.fixture
def warm(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store, query_cache_bytes=64 * MIB) as service:
        yield service


@pytest.fixture(scope="module")
def written(stack: Stack) -> Iterator[RunWriter]:
    """A run with series of many rows, of rows far apart, of few rows, of rewritten rows, and with large sums."""
    with stack.lend_database() as name:
        yield write(stack.embedded(name))


@pytest.fixture
def run(written: RunWriter, chdb_store: Store) -> RunWriter:
    """The same run in the test's own database, with the same files."""
    attach_tables(chdb_store, written.store.database, (*TABLES, "run_values", "run_texts"))
    return written.moved_to(chdb_store)


def write(store: Store) -> RunWriter:
    writer = RunWriter(store, RUN).document()
    steps = np.arange(60, LAST + 1)
    for part in np.array_split(steps, 3):
        writer.numbers("dense", part, noisy(len(part), int(part[0])))
    far = np.unique(np.random.default_rng(1).integers(0, 2**31, 20_000))
    writer.numbers("sparse", far, noisy(len(far)))
    writer.numbers("few", np.arange(500) * 1_000, noisy(500))
    writer.numbers("again", steps[::2], noisy(len(steps[::2])))
    writer.numbers("again", np.arange(1, 100_000, 777), np.arange(129.0))
    writer.numbers("large", np.arange(1 << 15), np.where(np.arange(1 << 15) % 4 == 0, -1e308, 1e308))
    return writer


class Statements:
    """Counts the statements over the rows of series."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rollups = self.points = 0
        query = store.query

        def counted(sql: str, *arguments: Any) -> Any:
            self.rollups += "{db}.rollups" in sql
            self.points += "{db}.points_number" in sql
            return query(sql, *arguments)

        monkeypatch.setattr(store, "query", counted)


async def assert_same(warm: Service, cold: Service, queries: Sequence[Query]) -> None:
    """Compare the answers of a service that keeps rows with those of one that reads them, byte for byte."""
    for query in queries:
        own, read = [await service.get(RUN, "series", **query) for service in (warm, cold)]
        assert own.status_code == 200, own.text
        assert own.content == read.content, query


def zooms(key: str | list[str], last: int, seed: int, **more: Any) -> list[Query]:
    """Return requests for the whole series, and for ranges of any length."""
    rng = np.random.default_rng(seed)
    whole: list[Query] = [{"key": key, "points": points} for points in (10, 1_000)]
    lengths = rng.integers(0, np.log2(last), 12)
    starts = rng.integers(0, last, 12)
    for length, start in list(zip(lengths.tolist(), starts.tolist(), strict=True))[: draws(5, 12)]:
        points = int(rng.choice([3, 100, 1_000]))
        whole.append({"key": key, "points": points, "from": start, "to": start + (1 << length)})
    return [query | more for query in whole]


@pytest.mark.parametrize("key", ["dense", "sparse", "few", "again"])
async def test_views_of_known_rows_are_those_of_the_tables(
    warm: Service, cold: Service, run: RunWriter, key: str
) -> None:
    last = 2**31 if key == "sparse" else 2 * LAST
    columns: list[Query] = [{}, {"x": "_timestamp"}, {"sampling": "lttb", "x": "_step"}]
    for seed, more in enumerate(columns):
        await assert_same(warm, cold, zooms(key, last, seed, **more))


async def test_means_of_large_values_are_those_of_the_tables(warm: Service, cold: Service, run: RunWriter) -> None:
    # Not to the bit: of sums that overflow, the engine computes scaled ones, and in no order.
    for query in zooms("large", 1 << 15, 9):
        own, read = [(await service.json(RUN, "series", **query))["series"] for service in (warm, cold)]
        assert [points_of(each) for each in own] == [
            [pytest.approx(point, nan_ok=True) for point in points_of(each)] for each in read
        ]


async def test_several_series_are_those_of_the_tables(warm: Service, cold: Service, run: RunWriter) -> None:
    run.bools("flag", np.arange(5_000), (np.arange(5_000) % 3 == 0).tolist())
    keys = ["dense", "few", "flag", "again", "sparse"]
    await assert_same(warm, cold, zooms(keys[:2], LAST, 3) + zooms(keys, LAST, 4) + zooms(keys, LAST, 5))


async def test_a_zoom_reads_what_no_view_has_read(
    warm: Service, run: RunWriter, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = Statements(chdb_store, monkeypatch)
    await warm.json(RUN, "series", key="dense", points=1_000)
    assert (statements.rollups, statements.points) == (1, 1)
    await warm.json(RUN, "series", key="dense", points=500, **{"from": 50_001, "to": 249_999})
    assert (statements.rollups, statements.points) == (1, 2), "the points at both ends"
    await warm.json(RUN, "series", key="dense", points=400, **{"from": 50_010, "to": 249_900})
    assert (statements.rollups, statements.points) == (1, 2)


async def test_what_a_flush_changes_is_read_again(warm: Service, cold: Service, run: RunWriter) -> None:
    queries = zooms("dense", LAST, 6)
    await assert_same(warm, cold, queries)
    # A value that is written over, one in a gap, values after the end, and those of another series alone.
    run.numbers("dense", [1_000], [1e9])
    await assert_same(warm, cold, queries)
    run.numbers("dense", [7], [-1e9])
    await assert_same(warm, cold, queries)
    run.numbers("dense", np.arange(LAST + 1, LAST + 5_000), np.arange(4_999.0))
    await assert_same(warm, cold, queries)
    run.numbers("few", [1], [1.0])
    await assert_same(warm, cold, queries)


async def test_an_edit_is_in_the_next_view(warm: Service, run: RunWriter) -> None:
    async def axis() -> Any:
        return (await warm.json(RUN, "series", key="dense", points=100))["series"][0]["x_axis"]

    assert await axis() == "_step"
    run.document(metric_definitions=[{"name": "dense", "step_metric": "_timestamp"}])
    run.strings("note", [LAST], ["every event changes the progress of its run"])
    assert await axis() == "_timestamp"


async def test_nothing_is_left_of_a_deleted_run(
    warm: Service, cold: Service, run: RunWriter, chdb_store: Store
) -> None:
    queries = zooms("dense", LAST, 7)
    await assert_same(warm, cold, queries)
    condition = "entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String}"
    for table in TABLES:
        chdb_store.command(f"DELETE FROM {{db}}.{table} WHERE {condition}", RUN._asdict())
    assert (await warm.get(RUN, "series", **queries[0])).status_code == 404
    # A run of the same name, with as many values at the same steps.
    again = RunWriter(chdb_store, RUN, run.offset).document()
    steps = np.arange(60, LAST + 1)
    again.numbers("dense", steps, np.ones(len(steps)))
    await assert_same(warm, cold, queries)
    assert (await warm.json(RUN, "series", **queries[0]))["series"][0]["max"] == [1.0] * 10


async def test_removed_rows_are_in_no_view(warm: Service, cold: Service, run: RunWriter, chdb_store: Store) -> None:
    queries = [*zooms("dense", LAST, 8), {"key": "dense", "points": 1_000, "to": 500}]
    await assert_same(warm, cold, queries)
    for boundary in ({"raw_from": 128 * 1_000}, {"raw_from": 128 * 1_500, "curves_from": 128 * 512}):
        row: Query = RUN._asdict() | {"writer": "", "curves_from": 0} | boundary
        chdb_store.command(
            "INSERT INTO {db}.retained_steps (entity, project, run_id, writer, raw_from, curves_from) VALUES"
            " ({entity:String}, {project:String}, {run_id:String}, '', {raw_from:Int64}, {curves_from:Int64})",
            row,
        )
        forget_projects(chdb_store)
        await assert_same(warm, cold, queries)
        chdb_store.command("DELETE FROM {db}.points_number WHERE step < {raw_from:Int64}", row)
        chdb_store.command("DELETE FROM {db}.rollups WHERE last_step < {curves_from:Int64}", row)
        await assert_same(warm, cold, queries)
