"""Conditions that select runs stand in one module, and one run is read as a list of one."""

from __future__ import annotations

from pathlib import Path

import stepwell_query
from stepwell_query.catalog.conditions import OF_PROJECT, OF_RUN, OF_RUN_IDS, run_parameters, runs_parameters
from stepwell_query.catalog.models import Activity, Document, Progress
from stepwell_query.catalog.progress import build_progress
from stepwell_schemas.rules.identifiers import RunPath

RUN = RunPath("me", "digits", "a")


def test_no_other_module_spells_a_condition() -> None:
    package = Path(stepwell_query.__file__).parent
    spelled = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if OF_PROJECT in path.read_text("utf-8")
    }
    assert spelled == {"catalog/conditions.py"}
    assert OF_RUN.startswith(OF_PROJECT)
    assert OF_RUN_IDS.startswith(OF_PROJECT)


def test_parameters() -> None:
    assert run_parameters(RUN) == {"entity": "me", "project": "digits", "run_id": "a"}
    assert runs_parameters([RUN]) == {"runs": [("me", "digits", "a")]}


def test_a_run_begins_with_its_first_row_or_its_creation() -> None:
    document = Document(created_ms=1_000, definitions=())
    activity = Activity(step=7, offset=3, log_rows=2, points=4, first_ms=900, last_ms=1_500)
    assert build_progress(None, document) == Progress(-1, -1, 0, 1_000)
    assert build_progress(activity, None) == Progress(7, 3, 2, 900)
    assert build_progress(activity, document) == Progress(7, 3, 2, 900)
    without_rows = Activity(step=0, offset=3, log_rows=0, points=0, first_ms=2_000, last_ms=2_000)
    assert build_progress(without_rows, document) == Progress(-1, 3, 0, 1_000)
