"""Compare the content of a batch's planned rows with the content that its session states.

The sum is computed from what the plan stores: from the steps that the planner has decided, and from the columns that
become rows of the tables. Where the ingestor counts the steps itself (see `session_steps`), rows may move: they are
summed up at the steps that their session states, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.blocks import block_values
from stepwell_ingestor.planner.columns import Columns, Int64s
from stepwell_ingestor.planner.totals import Holds, as_of, totals_type
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import COUNT_MAX
from stepwell_schemas.rules.content import MASK, cells_content, key_weights, row_weights, rows_content, to_unsigned
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.steps import StepState, resolve


class SessionContent(NamedTuple):
    """The content of a session's rows, as far as they were planned.

    Attributes:
        digest: the sum (`rules.content`). covered: the number of rows that it covers: those of batches that state
            their content.
        differing: rows of batches whose content is another one than their session states, without those of which a part
            is a dead letter. moved: rows stored at other steps than their session states.
    """

    digest: int
    covered: int
    differing: int
    moved: int

    def plus(self, more: SessionContent) -> SessionContent:
        """Return the sums; counts are clipped at what their columns hold."""
        return SessionContent(
            (self.digest + more.digest) & MASK,
            min(self.covered + more.covered, COUNT_MAX),
            min(self.differing + more.differing, COUNT_MAX),
            min(self.moved + more.moved, COUNT_MAX),
        )


NO_CONTENT: Final = SessionContent(0, 0, 0, 0)
"""The content before the first row."""

CONTENT_TOTALS: Final = totals_type(SessionContent._fields)
"""The type of the column `content` in `session_activity`: as of a flush's end, like the totals."""


def content_as_of(totals: Mapping[str, Any], holds: Holds) -> SessionContent:
    """Return the content of a session without a flush that does not hold."""
    return SessionContent(**as_of(totals, SessionContent._fields, holds))


class ContentDifference(NamedTuple):
    """Rows that are not stored as their session has sent them: the batch's offset, first record and number of rows."""

    path: RunPath
    session: str
    offset: int
    sequence: int
    rows: int


@dataclass
class ContentCheck:
    """The content of a batch's planned rows, added up block by block.

    `weights`: uint64[rows], 0 for rows that are not planned. `earlier`: the content of these, as received: they were
    stored earlier.
    """

    weights: NDArray[np.uint64]
    planned: int
    earlier: int
    moved: int

    def add(self, columns: Columns, kept: slice | Int64s) -> None:
        """Add planned columns, whose rows are `kept` of the batch's rows."""
        keys = key_weights(columns.kind, columns.keys)
        self.planned += cells_content(columns.kind, keys, self.weights[kept], columns.values, columns.exact)

    def differs(self, stated: int | None) -> bool:
        """Return True if the batch's content is another one than the stated one."""
        return stated is not None and (self.planned + self.earlier) & MASK != to_unsigned(stated)


def begin_check(
    batch: LogBatch, marks: NDArray[np.bool_] | None, planned: Int64s, *, final: bool
) -> ContentCheck | None:
    """Begin with the marked rows (None: all), planned at the steps `planned`; None if the batch states no content.

    `final`: the session's steps are final, so that rows at other steps are a difference.
    """
    if batch.content is None:
        return None
    steps, moved = None, 0
    if batch.current_step is not None:
        steps = planned
        if marks is not None or not final:
            stated = _stated_steps(batch, batch.current_step)
            own = stated if marks is None else stated[marks]
            moved = 0 if final else int(np.count_nonzero(planned != own))
            steps = stated.copy()
            if final and marks is not None:
                steps[marks] = planned
    weights = row_weights(batch.sequence, batch.rows, steps)
    earlier = 0
    if marks is not None:
        before = np.where(marks, np.uint64(0), weights)
        weights = np.where(marks, weights, np.uint64(0))
        earlier = _received_content(batch, before)
    return ContentCheck(weights, rows_content(weights), earlier, moved)


def _stated_steps(batch: LogBatch, current: int) -> Int64s:
    asked = None if batch.steps is None else np.frombuffer(batch.steps, "<i8")
    commits = None if batch.commits is None else np.frombuffer(batch.commits, np.int8)
    return resolve(StepState(current, batch.row_begun), asked, commits, batch.rows).steps


def _received_content(batch: LogBatch, weights: NDArray[np.uint64]) -> int:
    """Return the content of a batch as it was received; rows of the weight 0 contribute nothing."""
    total = rows_content(weights)
    for block in batch.blocks:
        of_rows = weights
        if block.rows is not None:
            rows = np.frombuffer(block.rows, "<u4").astype(np.int64)
            if len(rows) and int(rows.max()) >= batch.rows:
                continue  # a dead letter
            of_rows = weights[rows]
        values, exact = block_values(block, len(of_rows), None, list(range(len(block.keys))))
        total += cells_content(block.kind, key_weights(block.kind, block.keys), of_rows, values, exact)
    return total & MASK
