"""Conditions that select the rows of runs in any table, and their parameters.

Every table's sort key begins with entity, project and run id, so that each condition reads only its runs' rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stepwell_schemas.clickhouse.tables import (
    PROJECT_CONDITION,
    PROJECT_RUNS_CONDITION,
    RUN_CONDITION,
    RUNS_CONDITION,
)
from stepwell_schemas.rules.identifiers import RunPath

OF_PROJECT: Final = PROJECT_CONDITION
"""The runs of a project."""

OF_RUN: Final = RUN_CONDITION
"""One run; `run_parameters` has its parameters."""

OF_RUN_IDS: Final = PROJECT_RUNS_CONDITION
"""Some runs of one project."""

OF_RUNS: Final = RUNS_CONDITION
"""Some runs of any projects; `runs_parameters` has the parameters."""


def run_parameters(run: RunPath) -> dict[str, Any]:
    """Return the parameters of OF_RUN."""
    return run._asdict()


def runs_parameters(runs: Sequence[RunPath]) -> dict[str, Any]:
    """Return the parameters of OF_RUNS."""
    return {"runs": [tuple(run) for run in runs]}


def one_of(column: str, several: str, values: Sequence[str]) -> str:
    """Return the condition that a column has one of some values; `one_of_parameter` has its parameter.

    Equality costs ClickHouse less than a set of one.

    Args:
        several: the name of the parameter with several values; that with one value is named like the column.
    """
    return f"{column} = {{{column}:String}}" if len(values) == 1 else f"{column} IN {{{several}:Array(String)}}"


def one_of_parameter(column: str, several: str, values: Sequence[str]) -> dict[str, Any]:
    """Return the parameter of `one_of`."""
    return {column: values[0]} if len(values) == 1 else {several: list(values)}
