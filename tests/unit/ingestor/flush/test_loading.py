"""Loading the states of many runs: every run once, and no statement with larger parameters than a server takes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

SERVER_BYTES = 128 * 1024


class Asked(Store):
    """An empty store that notes the parameters of questions."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []

    def query(self, sql: str, parameters: Any = None) -> Any:
        self.asked.append(parameters)
        return pa.table({name: pa.array([], pa.string()) for name in ("entity", "project", "run_id", "first_version")})


@pytest.mark.parametrize(("count", "name"), [(0, "r"), (1, "r"), (20_000, "r"), (3_000, "🚀" * 120)])
def test_no_parameter_is_larger_than_a_server_takes(count: int, name: str) -> None:
    store = Asked()
    paths = [RunPath("e", "p", f"{name}{number}") for number in range(count)]
    states = load_states(store, paths, AsOf(0))
    assert list(states) == paths
    assert {run for asked in store.asked for run in asked["runs"]} == {path.run_id for path in paths}
    for asked in store.asked:
        for values in asked.values():
            assert 2 * sum(len(value.encode()) + 4 for value in values) <= SERVER_BYTES
