"""Retention in the engine: old values leave, curves, counts and summaries stay, wherever the worker ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final

import numpy as np
import pytest

from stepwell_ingestor.removal.retention import Timing, make_retention_pass
from stepwell_ingestor.verify.fingerprints import Bounds, read_figures, read_removed
from stepwell_query.catalog.models import Activity
from stepwell_query.catalog.progress import read_activity
from stepwell_query.encoding import NotFinite
from stepwell_query.query_limits import QueryLimits
from stepwell_query.runs.summary_reader import read_summaries
from stepwell_query.series.known_rows import Known
from stepwell_query.series.models import Sampling, SeriesRequest, SeriesView
from stepwell_query.series.read import read_series
from stepwell_schemas.clickhouse.run_rows import delete_rows
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.retention.boundaries import Boundary, forget_projects, read_boundaries
from stepwell_schemas.retention.policies import Pass, PassTimes, Project
from stepwell_schemas.retention.policy import Policy
from stepwell_schemas.retention.preview import preview
from stepwell_schemas.rollups.check import CheckResult, check
from stepwell_schemas.rollups.rebuild import Scope, rebuild, works
from stepwell_schemas.rollups.sql import Buckets, computing
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import BEGIN_MS, STEP_MS, RunWriter, attach_tables, gathered
from support.fakes.dying_store import DyingStore, KilledError
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = pytest.mark.one_dsn

PROJECT: Final = Project("e", "p")
RUN: Final = RunPath("e", "p", "r")
OTHER: Final = RunPath("e", "q", "r")
STEPS: Final = 2_000
DAY_MS: Final = 86_400_000
POLICY: Final = Policy(raw=DAY_MS)
CUT: Final = 1_152
"""The boundary when the values below step 1,200 are old: a multiple of 128."""

RANGES: Final = ((None, None), (0, 400), (130, 390), (1_000, 1_900), (1_100, 1_200), (1_700, 1_750))
"""Ranges of steps around the boundary."""

VIEWS: Final = {"loss": RANGES, "sparse": (RANGES[0], *RANGES[2:4]), "ended": (*RANGES[:2], RANGES[4])}
"""Ranges by key; the last one of `ended` is after its end."""

DEFINITIONS: Final = [{"name": "loss", "summary": "min,max,mean"}, {"name": "ended", "summary": "first"}]
TABLES: Final = ("points_number", "points_string", "points_bool", "points_other")
WRITTEN: Final = (*TABLES[:3], "rollups", "series", "run_activity", "run_documents", "run_values", "run_texts")

Write = Callable[[Store], dict[RunPath, RunWriter]]
Activities = Mapping[RunPath, Activity]


def time_of(step: int) -> int:
    """Return the time at which the values below a step are older than the policy keeps them."""
    return BEGIN_MS + step * STEP_MS + DAY_MS


def log_run(store: Store, run: RunPath, offset: int = 0) -> RunWriter:
    """Write a run with series of all kinds and several lengths, some of whose steps were written twice."""
    values = np.sin(np.arange(STEPS)) * np.arange(STEPS)
    writer = RunWriter(store, run, offset).document(metric_definitions=DEFINITIONS)
    writer.numbers("loss", np.arange(STEPS), values).numbers("loss", [10, 700, 1_500], [1e6, -1e6, 0.5])
    writer.numbers("ended", np.arange(500), np.arange(500) * 2.0 + 1)
    writer.numbers("sparse", np.arange(0, STEPS, 50), np.arange(STEPS // 50))
    writer.strings("text", np.arange(0, STEPS, 10), [f"line {step}" for step in range(0, STEPS, 10)])
    writer.strings("text", [30], ["again"])
    writer.bools("ok", np.arange(0, STEPS, 100), [step % 200 == 0 for step in range(0, STEPS, 100)])
    writer.as_writer("rank1").numbers("loss", np.arange(300), np.arange(300) * 3.0)
    return writer


@pytest.fixture(scope="module")
def written(stack: Stack) -> Iterator[tuple[str, dict[RunPath, RunWriter]]]:
    """A database with the same run in a project with a policy and in one without, and the writers of both."""
    with stack.lend_database() as name:
        store = stack.embedded(name)
        yield name, {run: log_run(store, run) for run in (RUN, OTHER)}


@pytest.fixture
def log_runs(written: tuple[str, dict[RunPath, RunWriter]]) -> Write:
    """A function that puts both runs into a test's own database, with the same files, and returns their writers."""
    database, writers = written

    def log(store: Store) -> dict[RunPath, RunWriter]:
        attach_tables(store, database, WRITTEN)
        return {run: writer.moved_to(store).as_writer("") for run, writer in writers.items()}

    return log


def make_pass(store: Store, now: int, policy: Policy = POLICY, project: Project = PROJECT) -> Pass:
    """Make a pass that records what is due at a time and deletes it."""
    made = make_retention_pass(store, project, policy, PassTimes(), Timing(now, 1, 0))
    forget_projects(store)
    assert made is not None
    return made


def view(store: Store, run: RunPath, key: str, activities: Activities | None = None, **request: Any) -> SeriesView:
    """Return the view of a series; `activities`: how far the runs are stored, if it is known."""
    limits = QueryLimits(60.0, 256 * MIB)
    activities = read_activity(store, [run]) if activities is None else {run: activities[run]}
    answers = read_series(store, [run], activities, SeriesRequest([key], **request), limits, Known.of_size(0))
    return answers[0].views[0]


def rows_of(store: Store, run: RunPath) -> dict[str, int]:
    """Return the number of stored values of a run by table."""
    sql = "SELECT count() AS n FROM {db}.%s FINAL WHERE entity = {entity:String} AND project = {project:String}"
    return {table: store.query(sql % table, run._asdict()).column("n")[0].as_py() for table in TABLES}


def assert_same_curve(
    store: Store, activities: Activities, key: str, step_from: int | None, step_to: int | None
) -> None:
    """Compare a view of the run that lost rows with the rows of the one that has them all."""
    asked = {"step_from": step_from, "step_to": step_to}
    mine = view(store, RUN, key, activities, **asked, points=40)
    if not len(mine.points.buckets):
        assert not len(view(store, OTHER, key, activities, **asked, points=40).points.buckets)
        return
    shift = mine.plan.shift
    if mine.plan.first < mine.info.removed_to:
        assert shift >= 7
        assert mine.sampling is Sampling.BUCKETS
    whole = {"step_from": mine.plan.first, "step_to": mine.plan.last}
    rows, own = view(store, OTHER, key, activities, **whole, points=10_000).points.buckets, mine.points.buckets
    assert (own.step >> shift).tolist() == np.unique(rows.step >> shift).tolist()
    for place, low, high, last, number in zip(own.step >> shift, own.min, own.max, own.last, own.count, strict=True):
        inside = rows.step >> shift == place
        assert (low, high, last) == (rows.min[inside].min(), rows.max[inside].max(), rows.last[inside][-1])
        assert number == rows.count[inside].sum()


def assert_same_account(store: Store) -> None:
    """Compare curves, counts and summaries of the run that lost rows with those of the other."""
    activities = read_activity(store, [RUN, OTHER])
    for key, ranges in VIEWS.items():
        for steps in ranges:
            assert_same_curve(store, activities, key, *steps)
    sql = (
        "SELECT key, kind, writer, first_step, last_step, count FROM {db}.metrics WHERE project = {project:String}"
        " ORDER BY ALL"
    )
    metrics = [store.query(sql, {"project": run.project}).to_pylist() for run in (RUN, OTHER)]
    assert metrics[0] == metrics[1]
    mine, other = (read_summaries(store, [document(run)], NotFinite.TEXT)["r"] for run in (RUN, OTHER))
    assert mine["loss"].pop("mean") == pytest.approx(other["loss"].pop("mean"), rel=1e-12)
    assert mine == other
    assert mine["ended"] == {"first": 1.0}
    # `stepwell verify` compares what is kept, as if the other run were the log.

    def ask(statement: str, parameters: Any) -> Any:
        return store.query(statement, parameters).to_pylist()

    bounds = Bounds(removed=read_removed(ask, RUN))
    assert bounds.open
    assert read_figures(ask, RUN, bounds) == read_figures(ask, OTHER, bounds) != read_figures(ask, OTHER, Bounds())


def document(run: RunPath) -> Any:
    """Return the metadata that summaries are computed with."""
    return {**run._asdict(), "summary": "{}", "metric_definitions": json.dumps(DEFINITIONS)}


async def answers(service: Service, run: RunPath) -> tuple[Any, Any, Any, Any, Any]:
    """Return the answers of history, scan, series, groups and the list of runs."""
    history = await service.json(run, "history", samples=100)
    scan = await service.get(run, "scan", key="loss")
    series = await service.json(run, "series", key="loss", points=500)
    body = {"runs": [str(run)], "keys": ["loss"], "points": 500, "group_by": "group"}
    groups = (await service.client.post("/api/v1/groups", json=body)).json()
    filter_ = "summary.loss.min = -1000000 and summary.loss.max = 1000000"
    path = f"/api/v1/projects/{run.entity}/{run.project}/runs"
    listed = (await service.client.get(path, params={"filter": filter_})).json()
    return history, scan, series, groups, listed


@pytest.mark.both_dsns
@pytest.mark.parametrize("dsn", [pytest.param("chdb", marks=pytest.mark.long), "http"])
def test_values_leave_and_all_else_stays(open_store: Callable[[str], Store], dsn: str, log_runs: Write) -> None:
    store = open_store(dsn)
    log_runs(store)
    before = rows_of(store, OTHER)
    foreseen = preview(store, PROJECT, POLICY, time_of(1_200))
    assert rows_of(store, RUN) == before
    made = make_pass(store, time_of(1_200))
    assert read_boundaries(store, [RUN, OTHER]) == {RUN: {"": Boundary(CUT), "rank1": Boundary(256)}}
    lowest = "SELECT project, writer, min(step) AS step FROM {db}.points_number GROUP BY ALL"
    found = {(row["project"], row["writer"]): row["step"] for row in store.query(lowest).to_pylist()}
    assert found == {("p", ""): CUT, ("p", "rank1"): 256, ("q", ""): 0, ("q", "rank1"): 0}
    after = rows_of(store, RUN)
    assert rows_of(store, OTHER) == before
    gone = sum(before.values()) - sum(after.values())
    # Rows of steps that were written twice may be merged at any time.
    for rows in (made.rows, sum(table.rows for table in foreseen.tables)):
        assert gone <= rows <= gone + 3
    assert made.bytes > 0
    assert (made.late_rows, foreseen.runs) == (0, 1)
    assert_same_account(store)
    with service_over(store) as service:
        history, scan, series, groups, listed = asyncio.run(answers(service, RUN))
        others = asyncio.run(answers(service, OTHER))
    assert (history["raw_from"], history["rows"][0]["_step"]) == (CUT, CUT)
    assert (scan.headers["stepwell-raw-from"], scan.text.count("\n")) == (str(CUT), STEPS - CUT)
    assert (series["series"][0]["raw_from"], groups["series"][0]["raw_from"]) == (CUT, CUT)
    assert len(history["rows"]) > 90
    assert len(listed["runs"]) == len(others[4]["runs"]) == 1
    assert listed["runs"][0]["points"] == others[4]["runs"][0]["points"]
    assert not any("raw_from" in str(answer) for answer in (others[0], others[2], others[3]))
    # A second pass finds nothing.
    assert make_pass(store, time_of(1_200)).rows == 0
    # `stepwell rollups check` and `rebuild` leave out what can't be computed again.
    (work,) = works(store, Scope("e", "p"))
    checked = CheckResult()
    check(store, work, checked)
    assert checked.buckets > 0
    assert checked.differing == 0
    rebuild(store, work)
    assert_same_account(store)


def test_old_runs_keep_the_last_bucket_of_each_writer_and_later_steps_continue_their_curves(
    chdb_store: Store, log_runs: Write
) -> None:
    writers = log_runs(chdb_store)
    make_pass(chdb_store, time_of(10**6))
    assert read_boundaries(chdb_store, [RUN])[RUN] == {"": Boundary(1_920), "rank1": Boundary(256)}
    assert rows_of(chdb_store, RUN)["points_number"] == 80 + 44 + 1
    assert_same_account(chdb_store)
    for writer in writers.values():
        writer.numbers("loss", np.arange(STEPS, STEPS + 300), np.arange(300) * 7.0)
        writer.numbers("ended", np.arange(STEPS, STEPS + 300), np.arange(300) * 5.0)
    assert_same_account(chdb_store)
    make_pass(chdb_store, time_of(10**6))
    assert read_boundaries(chdb_store, [RUN])[RUN][""] == Boundary(2_176)
    assert_same_account(chdb_store)


def test_a_killed_worker_is_continued_wherever_it_ends(chdb_store: Store) -> None:
    for lives in count():
        project = Project("e", f"p{lives}")
        with gathered(chdb_store) as store:
            RunWriter(store, RunPath(*project, "r"), rolled=False).numbers("a", np.arange(400), np.arange(400) + 1.0)
        # The process ends before a statement: what it leaves is the same as if it ended after the one before.
        try:
            make_pass(DyingStore(chdb_store, lives, after=False), time_of(300), project=project)
        except KilledError:
            assert_rows_or_boundary(chdb_store, project)
        else:
            break
        make_pass(chdb_store, time_of(300), project=project)
        parameters = project._asdict()
        lowest = "SELECT min(step) AS step FROM {db}.points_number WHERE project = {project:String}"
        assert chdb_store.query(lowest, parameters).column("step")[0].as_py() == 256
        figures = "SELECT points, until FROM {db}.removed_figures FINAL WHERE project = {project:String}"
        assert chdb_store.query(figures, parameters).to_pylist() == [{"points": 256, "until": 256}]
    assert lives == 5


def assert_rows_or_boundary(store: Store, project: Project) -> None:
    """Check that no row is gone that no boundary speaks of."""
    rows = store.query(
        "SELECT count() AS n FROM {db}.points_number WHERE project = {project:String}", project._asdict()
    )
    forget_projects(store)
    if rows.column("n")[0].as_py() < 400:
        assert read_boundaries(store, [RunPath(*project, "r")])


def test_rows_that_come_late_leave_the_curve_as_it_is_and_go_with_the_next_pass(
    chdb_store: Store, log_runs: Write
) -> None:
    log_runs(chdb_store)
    make_pass(chdb_store, time_of(1_200))
    writer = RunWriter(chdb_store, RUN, rolled=False, offset=1_000)
    writer.numbers("loss", [5, 300], [1e9, -1e9])
    late = [Buckets(RUN, "", ["loss"], [0, 2])]
    chdb_store.command(*computing(7, None, late, 5_000))
    activities = read_activity(chdb_store, [RUN, OTHER])
    for steps in RANGES[:3]:
        assert_same_curve(chdb_store, activities, "loss", *steps)
    made = make_pass(chdb_store, time_of(1_200))
    assert (made.rows, made.late_rows) == (2, 2)
    activities = read_activity(chdb_store, [RUN, OTHER])
    for steps in RANGES[:3]:
        assert_same_curve(chdb_store, activities, "loss", *steps)


def test_a_run_that_was_rebuilt_has_its_rows_until_the_next_pass(chdb_store: Store, log_runs: Write) -> None:
    log_runs(chdb_store)
    make_pass(chdb_store, time_of(1_200))
    # As `stepwell rebuild RUN`, which replaces the rows of a run in all tables.
    for table in ("retained_steps", "removed_figures", *TABLES):
        chdb_store.command(f"DELETE FROM {{db}}.{table} WHERE project = 'p'")
    log_run(chdb_store, RUN, 500)
    forget_projects(chdb_store)
    assert rows_of(chdb_store, RUN) == rows_of(chdb_store, OTHER)
    assert read_boundaries(chdb_store, [RUN]) == {}
    make_pass(chdb_store, time_of(1_200))
    assert read_boundaries(chdb_store, [RUN])[RUN][""] == Boundary(CUT)
    assert_same_account(chdb_store)
    # A deletion of the run takes the boundary and the figures along, so that a run of the name has all its rows.
    delete_rows(chdb_store, {RUN: 10_000})
    forget_projects(chdb_store)
    assert read_boundaries(chdb_store, [RUN]) == {}
    assert chdb_store.query("SELECT 1 FROM {db}.removed_figures").num_rows == 0


def test_rollups_and_media_files_have_periods_of_their_own(chdb_store: Store, log_runs: Write) -> None:
    files = ["a" * 64, "b" * 64, "c" * 64]
    for writer in log_runs(chdb_store).values():
        for file, steps in zip(files, ([0], [10, 1_990], [20]), strict=True):
            text = json.dumps({"sha256": file})
            writer.texts(f"image {file[0]}", Kind.IMAGE, steps, [text] * len(steps))
    for run in (RUN, OTHER):
        for version, file in enumerate(files, 1):
            row = f"SELECT '{file}', {version}, 'x', 'e', '{run.project}', 'r', {version}"
            columns = "sha256, size, content_type, entity, project, run_id, version"
            if (run, file) != (OTHER, files[2]):
                chdb_store.command(f"INSERT INTO {{db}}.media_files ({columns}) {row}")
    policy = Policy(raw=DAY_MS, rollups=DAY_MS + 300 * STEP_MS, media=DAY_MS)
    foreseen = preview(chdb_store, PROJECT, policy, time_of(1_200))
    made = make_pass(chdb_store, time_of(1_200), policy)
    assert (made.files, made.file_bytes) == (foreseen.files, foreseen.file_bytes) == (2, 4)
    boundary = read_boundaries(chdb_store, [RUN])[RUN][""]
    assert (boundary.raw_from, boundary.curves_from) == (CUT, 896)
    mine = view(chdb_store, RUN, "loss", points=40)
    assert mine.points.buckets.step[0] >> 7 == 896 >> 7
    assert len(view(chdb_store, RUN, "loss", step_from=0, step_to=800, points=40).points.buckets) == 0
    with service_over(chdb_store) as service:
        gone = asyncio.run(service.client.get(f"/api/v1/media/{files[2]}"))
        history = asyncio.run(service.json(RUN, "history", key="image c"))
    assert gone.status_code == 404
    assert gone.json()["type"].endswith(":media-gone")
    assert [row["_step"] for row in history["rows"]] == [20]
    kept = "SELECT sha256 FROM {db}.media_files FINAL WHERE project = 'p' AND NOT removed"
    assert chdb_store.query(kept).to_pylist() == [{"sha256": files[1]}]
    assert make_pass(chdb_store, time_of(1_200), policy).files == 0


def test_without_anything_due_nothing_changes(chdb_store: Store, log_runs: Write) -> None:
    log_runs(chdb_store)
    before = rows_of(chdb_store, RUN)
    assert make_pass(chdb_store, BEGIN_MS).rows == 0
    assert make_pass(chdb_store, BEGIN_MS, Policy()).rows == 0
    assert make_retention_pass(chdb_store, PROJECT, POLICY, PassTimes(BEGIN_MS), Timing(BEGIN_MS, 10, 0)) is None
    assert rows_of(chdb_store, RUN) == before
    assert read_boundaries(chdb_store, [RUN]) == {}
    # Rows stay until every reader knows the boundary.
    settling = Timing(time_of(1_200), 1, 10_000)
    made = make_retention_pass(chdb_store, PROJECT, POLICY, PassTimes(), settling)
    assert made is not None
    assert made.rows == 0
    assert rows_of(chdb_store, RUN) == before
    later = Timing(time_of(1_200) + 10_000, 10**9, 10_000)
    made = make_retention_pass(chdb_store, PROJECT, POLICY, PassTimes(time_of(1_200)), later)
    assert made is not None
    assert made.rows > 0
