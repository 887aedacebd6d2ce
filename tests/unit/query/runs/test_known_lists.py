"""The memory of recent pages of lists: used while the project is the same, and hardly looked up while it changes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from stepwell_query.api.params.runs import RunsQuery
from stepwell_query.encoding import json_bytes
from stepwell_query.runs import known_lists
from stepwell_query.runs.fingerprint import Fingerprint
from stepwell_query.runs.known_details import KnownDetails, RunDetails
from stepwell_query.runs.known_lists import KnownLists
from stepwell_query.runs.list import RunsList, RunsRequest
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.run_states import CRASHED, RUNNING

DETAILS = KnownDetails(0)


class Project(Store):
    """A project with one run; the functions that read it are replaced."""

    def __init__(self) -> None:
        self.content = 0
        self.lookups = 0
        self.reads: list[str] = []

    def query(self, sql: str, parameters: Any = None) -> pa.Table:
        raise AssertionError(sql)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    """The store of a project; its run showed its last sign of life at the time 100."""
    own = Project()

    def fingerprint(*_: Any) -> Fingerprint:
        own.lookups += 1
        return (("documents", 1, own.content),)

    def read_list(_store: Store, _entity: str, _project: str, request: RunsRequest, _known: KnownDetails) -> RunsList:
        own.reads.append(f"{own.content} {request.filter}")
        metadata = {"state": RUNNING, "last_activity": 100}
        return RunsList([RunDetails(metadata, {"loss": own.content})], 1, None, [])

    def build_answer(read: RunsList, request: RunsRequest) -> dict[str, Any]:
        (run,) = (run.served(request.alive_since) for run in read.details)
        return {"state": run.metadata["state"], "text": "x" * 100} | run.summary

    for function in (read_list, build_answer):
        monkeypatch.setattr(known_lists, function.__name__, function)
    monkeypatch.setattr(known_lists, "read_fingerprint", fingerprint)
    return own


def read(known: KnownLists, project: Project, since: int = 0, **query: Any) -> bytes:
    return known.read(project, "e", "p", RunsQuery(**query).request(since), DETAILS)


def answer(content: int, state: str = RUNNING) -> bytes:
    return json_bytes({"state": state, "text": "x" * 100, "loss": content})


def test_a_page_is_read_once_while_its_project_stays_the_same(project: Project) -> None:
    known = KnownLists(MIB)
    assert [read(known, project) for _ in range(3)] == [answer(0)] * 3
    assert len(project.reads) == 1
    project.content = 1
    assert read(known, project) == answer(1)


def test_requests_that_differ_in_any_part_have_pages_of_their_own(project: Project) -> None:
    known = KnownLists(MIB)
    queries: list[dict[str, Any]] = [
        {}, {"limit": 2}, {"order": "run_id"}, {"columns": []}, {"nan": "literal"},
        {"filter": "config.a = 1"}, {"filter": "config.a = true"}, {"filter": "config.a = 1.0"},
    ]  # fmt: skip
    for query in [*queries, *queries]:
        read(known, project, **query)
    assert len(project.reads) == len(queries)
    known.read(project, "e", "q", RunsQuery().request(), DETAILS)
    assert len(project.reads) == len(queries) + 1


def test_states_follow_the_time(project: Project) -> None:
    known = KnownLists(MIB)
    answers = [read(known, project, since) for since in (99, 100, 101, 102, 100)]
    assert answers == [answer(0, state) for state in (RUNNING, RUNNING, CRASHED, CRASHED, RUNNING)]
    assert len(project.reads) == 3


@pytest.mark.parametrize("query", [{"filter": "state = 'crashed'"}, {"order": "-state"}])
def test_a_list_that_depends_on_the_time_is_always_read(project: Project, query: dict[str, Any]) -> None:
    known = KnownLists(MIB)
    for _ in range(2):
        read(known, project, **query)
    assert (len(project.reads), project.lookups) == (2, 0)


def test_a_cache_without_memory_looks_nothing_up(project: Project) -> None:
    known = KnownLists(0)
    assert [read(known, project) for _ in range(2)] == [answer(0)] * 2
    assert (len(project.reads), project.lookups) == (2, 0)


def test_a_page_beyond_the_limit_is_not_kept(project: Project) -> None:
    known = KnownLists(1_200)
    for _ in range(2):
        read(known, project)
    assert (len(project.reads), project.lookups) == (2, 2)


def test_a_page_is_read_again_after_a_while(project: Project) -> None:
    now = [0.0]
    known = KnownLists(MIB, lambda: now[0])
    for now[0] in (0.0, 29.0, 31.0):
        read(known, project)
    assert len(project.reads) == 2


def test_a_project_that_changes_all_the_time_is_looked_up_in_one_of_eight_requests(project: Project) -> None:
    known, lookups = KnownLists(MIB), []
    for project.content in range(32):
        before = project.lookups
        assert read(known, project) == answer(project.content)
        if project.lookups > before:
            lookups.append(project.content)
    assert lookups == [0, 1, 3, 7, 15, 23, 31]


def test_a_project_that_has_come_to_rest_is_found_again(project: Project) -> None:
    known = KnownLists(MIB)
    for project.content in range(24):
        read(known, project)
    project.reads.clear()
    for _ in range(24):
        assert read(known, project) == answer(23)
    assert len(project.reads) <= 8
    project.content, lookups = 24, project.lookups
    for _ in range(3):
        assert read(known, project) == answer(24)
    assert project.lookups == lookups + 2
