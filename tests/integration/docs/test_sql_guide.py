"""The questions of the SQL guide: each query of docs/sql.md runs through `/api/v1/sql`, and its answer is checked."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from stepwell_query.encoding import json_columns
from stepwell_query.settings import QuerySettings
from stepwell_query.sql.execute import prepare, run
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import RunWriter, gathered
from support.paths import ROOT

GUIDE = ROOT / "docs" / "sql.md"

ANSWERS: dict[str, list[list[Any]]] = {
    "The last value of each metric": [["accuracy", 0.75], ["loss", 1.0]],
    "The best runs": [["def456", 0.5, 3], ["abc123", 1.0, 3], ["gaps", 2.0, 1]],
    "A sweep": [[0.1, 1, 0.75], [0.5, 1, 0.875]],
    "The loss at a wall time": [
        ["abc123", 2.0, "2023-11-14T22:13:20.020000+00:00"],
        ["def456", 1.0, "2023-11-14T22:13:20.020000+00:00"],
        ["gaps", 2.0, "2023-11-14T22:13:20.010000+00:00"],
        ["lost", "NaN", "2023-11-14T22:13:20.020000+00:00"],
    ],
    "Throughput": [["2023-11-14T22:00:00+00:00", 4]],
    "Gaps": [[2, 4], [6, 8]],
    "Runs that diverged": [["lost", "loss", 1]],
    "Two runs": [[0, 4.0, 2.0, -2.0], [1, 3.0, 1.5, -1.5], [2, 2.0, 1.0, -1.0], [3, 1.0, 0.5, -0.5]],
    "A moving average": [[0, 4.0, 4.0], [1, 3.0, 3.5], [2, 2.0, 3.0], [3, 1.0, 2.0]],
    "A loss, averaged": [[0, 3.5], [2, 1.5]],
    "The images": [[1, "sample", "aa"], [3, "sample", "bb"]],
    "Which writers": [["rank0", 2, 7], ["rank1", 1, 1]],
}


def queries() -> dict[str, str]:
    """Return the guide's queries by the sentence before each."""
    text = GUIDE.read_text("utf-8").partition("## Questions and their queries")[2]
    return dict(re.findall(r"([^\n]+):\n\n```sql\n(.*?)```", text, re.DOTALL))


@pytest.fixture
def runs(chdb_store: Store) -> Store:
    with gathered(chdb_store) as gathering:

        def write(run_id: str, lr: float | None = None) -> RunWriter:
            config = {} if lr is None else {"lr": lr}
            return RunWriter(gathering, RunPath("me", "digits", run_id)).document(config=config)

        first = write("abc123", 0.1).numbers("loss", range(4), [4.0, 3.0, 2.0, 1.0]).numbers("accuracy", [3], [0.75])
        first.texts("sample", Kind.IMAGE, [1, 3], ['{"sha256": "aa"}', '{"sha256": "bb"}'])
        write("def456", 0.5).numbers("loss", range(4), [2.0, 1.5, 1.0, 0.5]).numbers("accuracy", [3], [0.875])
        write("gaps").numbers("loss", [0, 1, 5, 9], [2.5, 2.0, 2.5, 2.25]).numbers("loss", [1], [2.0])
        write("lost").numbers("loss", range(3), [math.inf, math.nan, math.nan])
    chdb_store.command(
        "INSERT INTO {db}.step_conflict_log (entity, project, run_id, writer, asked_step, step, version) VALUES"
        " ('me', 'digits', 'abc123', 'rank0', 1, 5, 1), ('me', 'digits', 'abc123', 'rank0', 2, 9, 2),"
        " ('me', 'digits', 'abc123', 'rank1', 4, 5, 3)"
    )
    return chdb_store


def test_every_question_of_the_guide_has_the_right_answer(runs: Store) -> None:
    found = {}
    for question, sql in queries().items():
        (name,) = [name for name in ANSWERS if question.startswith(name)]
        table = run(runs, prepare(runs, sql, {}), QuerySettings())
        found[name] = [list(row) for row in zip(*json_columns(table), strict=True)]
    assert found == ANSWERS
