"""Every table of a flush plan can be checked for the rows of an insert whose outcome is in doubt."""

from __future__ import annotations

import re
from pathlib import Path

from stepwell_ingestor.flush.insert_check import OFFSETS
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.clickhouse.run_rows import FED
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event, LogEvent, Media, MediaChunk, Other
from stepwell_schemas.migrations.runner import migrations
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.paths import ROOT

PATH = RunPath("e", "p", "r")
RUN = PATH._asdict()
VALUES = {
    "n": 1.0,
    "s": "text",
    "b": True,
    "o": Other(json="[1]"),
    "m": Media(kind=Kind.IMAGE, json="{}"),
}
EVENTS: list[Event] = [
    LogEvent(**RUN, session="s", sequence=0, step=5, data=VALUES),
    LogEvent(**RUN, session="s", sequence=1, step=1, data={"n": 2.0}),
    MediaChunk(**RUN, sha256="0" * 64, index=1, count=2, size=2, data=b"x"),
]
PLANNER = ROOT / "ingestor" / "stepwell_ingestor" / "planner"


def full_plan() -> FlushPlan:
    """Plan events that have rows in every table."""
    messages = [Message(offset, 0, None, encode(event)) for offset, event in enumerate(EVENTS)]
    received, dead = receive_all(Codec(), messages)
    assert not dead
    return plan_flush(received, [], {PATH: RunState()}, len(messages))


def created_tables() -> set[str]:
    """Return the names of all tables that the migrations create."""
    text = "\n".join(statement for migration in migrations() for statement in migration.statements)
    return set(re.findall(r"CREATE TABLE IF NOT EXISTS \{db\}\.(\w+)", text))


def named_tables(files: list[Path]) -> set[str]:
    """Return the tables that are named by a string constant in these files."""
    names = {name for file in files for name in re.findall(r'"(\w+)"', file.read_text("utf-8"))}
    return names & created_tables()


def test_every_table_of_a_plan_is_known_to_the_check() -> None:
    assert set(full_plan().tables) == set(OFFSETS)


def test_every_table_that_the_planner_names_is_known_to_the_check() -> None:
    named = named_tables(sorted(PLANNER.rglob("*.py"))) | set(POINT_TABLES.values())
    assert named - {"rollups", "metrics"} == set(OFFSETS)


def test_the_check_reads_columns_that_the_rows_have() -> None:
    for name, rows in full_plan().tables.items():
        (column,) = re.findall(r"\b\w*(?:version|offset)\b", OFFSETS[name])
        assert column in rows.column_names


def test_every_kind_has_a_table_that_exists() -> None:
    assert set(POINT_TABLES) == set(Kind)
    assert {*POINT_TABLES.values(), *(name for names in FED.values() for name in names)} <= created_tables()
