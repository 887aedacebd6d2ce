"""Parameters of the lists of runs and of their columns."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from stepwell_query.api.params.common import WRITERS_MAX, FormatQuery, Nan, Parameters
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

# Longer than any valid text, so that the rules of the parameter report errors.
_TEXT_MAX: Final = 100_000


class MetricsQuery(FormatQuery):
    """The query of GET metrics."""

    writer: tuple[str, ...] = Field(
        (),
        max_length=WRITERS_MAX,
        description="The writer whose metrics are listed; for several, repeat it or separate names by commas. Default:"
        " all writers.",
    )


class RunsQuery(Parameters):
    """The query of GET runs."""

    filter: str = Field(
        "",
        max_length=_TEXT_MAX,
        description='Filter of runs, such as `config.lr > 0.1 and tags has "x"`; docs/runs.md describes the language.'
        ' Alternatively a JSON object in the syntax of MongoDB, as in wandb: `{"config.lr": {"$gt": 0.1}}`.',
    )
    order: str = Field(
        "-created_at",
        max_length=_TEXT_MAX,
        description="A field, `config.KEY` or `summary.KEY`; a leading `-` reverses the order. Missing values come"
        " last.",
    )
    limit: int = Field(RUNS_DEFAULT, ge=1, le=RUNS_MAX, description="Maximum runs of a page.")
    cursor: str | None = Field(None, max_length=_TEXT_MAX, description="The `next` of the previous page.")
    columns: list[str] | None = Field(
        None,
        description="A column of config or summary to return, such as `config.lr`; repeat it for several columns, send"
        f" it once empty for none. Default: all, at most {COLUMNS_MAX} columns.",
    )
    nan: Nan = NotFinite.TEXT

    def request(self, alive_since: int = 0) -> RunsRequest:
        """Return the request; `alive_since` is that of `rules.run_states`. Raises: RequestError."""
        columns = None
        if self.columns is not None:
            columns = check_columns([parse_ref(name, "columns") for name in self.columns if name.strip()])
        return RunsRequest(
            self.tree(), Order.parse(self.order), self.limit, self.cursor, columns, self.nan, alive_since
        )

    def tree(self) -> Node | None:
        """Return the parsed filter, None if it is empty. Raises: FilterError."""
        text = self.filter.strip()
        if not text:
            return None
        return parse_dict(self.filter) if text.startswith("{") else parse_filter(self.filter)


class ColumnsQuery(Parameters):
    """The query of GET columns."""

    search: str = Field(
        "", max_length=_TEXT_MAX, description="Words that the column's name must contain, ignoring case."
    )
    limit: int = Field(100, ge=1, le=COLUMNS_MAX, description="Maximum number of columns.")
