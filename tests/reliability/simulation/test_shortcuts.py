"""The stand-ins of the simulation give what the originals give."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

import pytest

from reliability.simulation.rows import Row, python_rows
from reliability.simulation.shortcuts import RememberingCodec, RowTable, shortcuts
from reliability.simulation.workload import Content, Workload
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.messages import receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.positions.models import Boundary, LogPosition, VoidRange
from stepwell_ingestor.positions.stored import position_row
from stepwell_schemas.errors import UnusableEventError
from stepwell_schemas.events.codec import Codec
from support.factories.numbers import with_values


def shown(rows: Sequence[Row]) -> str:
    """Return rows as text, since NaN is not equal to itself, and UTC has several names."""
    return repr(
        [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
            for row in rows
        ]
    )


def plan(codec: Codec) -> FlushPlan:
    """Return the plan of a log with all kinds of events."""
    workload = Workload(random.Random(7), 1, Content())
    messages = [workload.draw().message._replace(offset=offset) for offset in range(200)]
    received, dead = receive_all(codec, messages)
    return plan_flush(received, dead, {item.path: RunState() for item in received}, len(messages))


def test_rows_are_what_pyarrow_says_they_are() -> None:
    tables = plan(Codec()).tables
    assert {"points_number", "points_bool", "series", "run_documents", "step_conflict_log"} <= tables.keys()
    for name, table in tables.items():
        assert shown(python_rows(name, table)) == shown(with_values(table).to_pylist()), name


def test_tables_of_rows_are_arrow_tables() -> None:
    tables = plan(Codec()).tables
    with shortcuts():
        replaced = plan(RememberingCodec()).tables
    assert list(replaced) == list(tables)
    assert {"run_documents", "run_states", "run_activity"} <= {
        name for name, table in replaced.items() if isinstance(table, RowTable)
    }
    for name, table in tables.items():
        assert shown(python_rows(name, replaced[name])) == shown(python_rows(name, table)), name
        assert len(replaced[name]) == len(table)
        assert list(replaced[name].column_names) == table.column_names
        assert replaced[name].column("run_id")[0].as_py() == table.column("run_id")[0].as_py()


def test_the_row_of_a_position_is_that_of_an_arrow_table() -> None:
    position = LogPosition(
        "events", 1, LogIdentity("cluster", "topic", 3), "log_cut", epoch=2, base=5, first=1, end=7, begun_at=1_000,
        boundaries=(Boundary(4, 2, 3), Boundary(7, 5, 6)), voided=(VoidRange(1, 2),),
    )  # fmt: skip
    table = position_row(position)
    with shortcuts():
        replaced = position_row(position)
    assert isinstance(replaced, RowTable)
    assert shown(python_rows("log_positions", replaced)) == shown(python_rows("log_positions", table))


def test_a_remembering_codec_raises_again_what_it_raised() -> None:
    codec = RememberingCodec()
    errors = []
    for _ in range(2):
        with pytest.raises(UnusableEventError) as raised:
            codec.decode(b"no event")
        errors.append((raised.value.reason, raised.value.detail))
    assert errors[0] == errors[1]
