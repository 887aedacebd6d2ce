"""Every operation of the OpenAPI schema under requests that schemathesis generates: none may answer 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.draws import draws
from support.factories.points import RunWriter, gathered

KNOWN = RunPath("me", "digits", "one")


@pytest.fixture
def schema(chdb_store: Store, tmp_path: Any) -> Iterator[Any]:
    with gathered(chdb_store) as gathering:
        writer = RunWriter(gathering, KNOWN).document(config={"lr": 0.1}, tags=["x"])
        writer.numbers("loss", range(50), [1 / (step + 1) for step in range(50)]).strings("note", [1], ["a"])
    settings = QuerySettings(
        media_url=str(tmp_path),
        allowed_hosts=["*"],
        query_max_seconds=2,
        sql_max_seconds=2,
        sql_max_rows=1_000,
        sql_max_memory_bytes=200_000_000,
    )
    app = create_app(settings, chdb_store)
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    app.state.context.close()


def test_no_request_is_answered_with_500(schema: Any) -> None:
    failures: dict[str, str] = {}
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=draws(6, 12),
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        )
        @given(case=operation.as_strategy(), known=st.booleans())
        def check(case: Any, known: bool) -> None:
            nonlocal asked
            asked += 1
            # Names that are drawn exist by no chance: half of the requests are about the run that there is.
            if known:
                names = {name: value for name, value in KNOWN._asdict().items() if name in (case.path_parameters or {})}
                case.path_parameters = {**(case.path_parameters or {}), **names}
            answer = case.call()
            if answer.status_code >= 500 and answer.status_code != 503:
                failures[case.as_curl_command()] = answer.text[:500]

        check()
    assert failures == {}
    assert asked > 50


# Without shrinking: a failure is kept as it is found, and nothing is raised that could be made smaller.
PHASES = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
