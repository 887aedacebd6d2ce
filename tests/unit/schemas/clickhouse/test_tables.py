"""The tables of points and the conditions on runs are defined in one module."""

from __future__ import annotations

import re

import pytest

from stepwell_schemas.clickhouse import tables
from support.paths import ROOT

SOURCES = [
    file
    for package in ("schemas", "ingestor", "query", "deploy")
    for file in sorted((ROOT / package).rglob("*.py"))
    if file.name != "tables.py"
]


@pytest.mark.parametrize(
    "pattern",
    [
        r'Kind\.\w+: "points_\w+"',
        r'"entity = \{entity:String\} AND project = \{project:String\}',
        r"\(entity, project, run_id\) IN \{",
    ],
)
def test_only_one_module_has_the_definition(pattern: str) -> None:
    assert [str(file) for file in SOURCES if re.search(pattern, file.read_text("utf-8"))] == []


def test_the_conditions_of_a_run_extend_those_of_its_project() -> None:
    for condition in (tables.RUN_CONDITION, tables.PROJECT_RUNS_CONDITION):
        assert condition.startswith(f"{tables.PROJECT_CONDITION} AND ")
