"""A switch to rebuilt tables that was interrupted, and an ingestor that starts meanwhile."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from stepwell_ingestor.errors import SwitchInterruptedError
from stepwell_ingestor.progress import WatchedIngestor
from stepwell_ingestor.rebuild.unfinished_switch import SWITCHED, SWITCHING, is_unfinished, refuse_interrupted_switch
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError

pytestmark = pytest.mark.anyio


class Recorded(Store):
    """A store whose record of a rebuild has these names; None if there is no rebuild. It is away for some queries."""

    def __init__(self, names: list[str] | None, away: int = 0) -> None:
        self.database = "stepwell"
        self.asked: list[str] = []
        self._names = names
        self._away = away

    def query(self, sql: str, parameters: Any = None) -> Any:
        if self._away:
            self._away -= 1
            raise StoreUnavailableError("starting")
        self.asked.append(sql)
        if "system.tables" in sql:
            assert parameters["database"] == "stepwell_rebuild"
            return pa.table({"n": [int(self._names is not None)]})
        return pa.table({"name": pa.array(self._names, pa.string())})


@pytest.mark.parametrize(
    ("names", "unfinished"),
    [
        (set(), False),
        ({"scope", "commit:0"}, False),
        ({"scope", SWITCHING}, True),
        ({"scope", SWITCHING, SWITCHED}, False),
    ],
    ids=["nothing", "committed", "begun", "ended"],
)
def test_a_switch_is_unfinished_between_its_marks(names: set[str], unfinished: bool) -> None:
    assert is_unfinished(names) is unfinished


def test_tables_without_a_switch_are_used() -> None:
    refuse_interrupted_switch(Recorded(None))
    refuse_interrupted_switch(Recorded(["scope"]))


async def test_an_ingestor_does_not_begin_in_the_middle_of_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell_ingestor.progress._RETRY_SECONDS", 0.01)
    ingestor = WatchedIngestor(IngestorSettings(), Recorded(["scope", SWITCHING], away=2))
    with pytest.raises(SwitchInterruptedError):
        await ingestor.run()
    assert await ingestor.stop()


async def test_an_ingestor_that_waits_for_the_tables_can_be_stopped() -> None:
    ingestor = WatchedIngestor(IngestorSettings(), Recorded(None, away=1_000_000))
    assert await ingestor.stop()
    await ingestor.run()
