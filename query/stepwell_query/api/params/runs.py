"""The parameters of the lists of runs and of their columns."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from stepwell_query.api.params.common import Nan, Parameters
from stepwell_query.encoding import NotFinite
from stepwell_query.runs.columns import COLUMNS_MAX
from stepwell_query.runs.filters.ast import Node
from stepwell_query.runs.filters.mongo import parse_dict
from stepwell_query.runs.filters.parser import parse_filter, parse_ref
from stepwell_query.runs.list import RunsRequest, check_columns
from stepwell_query.runs.ordering import Order

RUNS_MAX: Final = 1_000
RUNS_DEFAULT: Final = 50
"""Runs of a page if the request names no limit: the first page that the web page loads."""

# Longer than any that is right; what is wrong with it is said by its own rule.
_TEXT_MAX: Final = 100_000


class RunsQuery(Parameters):
    """The query of GET runs."""

    filter: str = Field(
        "",
        max_length=_TEXT_MAX,
        description='Which runs, such as `config.lr > 0.1 and tags has "x"`: docs/runs.md has the language. Or a JSON'
        ' object in the manner of MongoDB, as wandb has it: `{"config.lr": {"$gt": 0.1}}`.',
    )
    order: str = Field(
        "-created_at",
        max_length=_TEXT_MAX,
        description="A field, `config.KEY` or `summary.KEY`; a `-` in front reverses. What is missing comes last.",
    )
    limit: int = Field(RUNS_DEFAULT, ge=1, le=RUNS_MAX, description="Runs of one page.")
    cursor: str | None = Field(None, max_length=_TEXT_MAX, description="The `next` of the page before.")
    columns: list[str] | None = Field(
        None,
        description="What of config and summary to show, `config.lr`; repeat it for several, once empty for nothing."
        f" Without it all, {COLUMNS_MAX} columns at most.",
    )
    nan: Nan = NotFinite.TEXT

    def request(self) -> RunsRequest:
        """Return what is asked for. Raises: RequestError."""
        columns = None
        if self.columns is not None:
            columns = check_columns([parse_ref(name, "columns") for name in self.columns if name.strip()])
        return RunsRequest(self.tree(), Order.parse(self.order), self.limit, self.cursor, columns, self.nan)

    def tree(self) -> Node | None:
        """Return the filter, None where every run passes. Raises: FilterError."""
        text = self.filter.strip()
        if not text:
            return None
        return parse_dict(self.filter) if text.startswith("{") else parse_filter(self.filter)


class ColumnsQuery(Parameters):
    """The query of GET columns."""

    search: str = Field("", max_length=_TEXT_MAX, description="Words that the column's name must hold, in any case.")
    limit: int = Field(100, ge=1, le=COLUMNS_MAX, description="Columns, at most.")
