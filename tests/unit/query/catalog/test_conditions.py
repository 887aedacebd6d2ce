"""Parameters of the conditions that select runs, and the progress of a run."""

from __future__ import annotations

from stepwell_query.catalog.conditions import run_parameters, runs_parameters
from stepwell_query.catalog.models import Activity, Document, Progress
from stepwell_query.catalog.progress import build_progress
from stepwell_schemas.rules.identifiers import RunPath

RUN = RunPath("me", "digits", "a")


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
