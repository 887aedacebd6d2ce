"""Filters, orders and cursors that try to reach what they must not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered
from support.servers.query import Service, service_over

HOSTILE = [
    "config.lr = 1' OR 1=1 --",
    'config.lr = "1\') OR 1=1 --"',
    "config.`x') OR 1=1 --` = 1",
    'config."{p0:String}" = "{db}"',
    "config.'\\u0000' exists",
    'summary."%s%(x)s$$" exists',
    "name = '\\\\' or name = ' OR 1=1 --'",
    "name ~ '(((' ",
    "name ~ '(a+)+$'",
    'name = "\x00"',
    "name in (sleep(3))",
    "config.lr = (SELECT 1)",
    "1 = 1",
    "true",
    "config.\u202e = 1",
    '{"config.lr": {"$where": "1"}}',
    '{"$or": [{"config.lr": {"$gt": {"$gt": 1}}}]}',
    '{"config.x\' OR 1=1 --": 1}',
]


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    """The service over a run with a config."""
    with gathered(chdb_store) as gathering:
        RunWriter(gathering, RunPath("me", "digits", "r0")).document(config={"lr": 0.5})
    with service_over(chdb_store) as served:
        yield served


@pytest.mark.anyio
async def test_hostile_filters_and_cursors_say_nothing_but_what_they_may(service: Service) -> None:
    url = "/api/v1/projects/me/digits/runs"
    for text in HOSTILE:
        answer = await service.client.get(url, params={"filter": text})
        assert answer.status_code in {200, 422}, (text, answer.text)
        assert answer.status_code == 422 or answer.json()["runs"] == [], text
    for name in ("filter", "order", "cursor", "columns"):
        for value in ("\x00", "';--", "a" * 30_001, "🚀", "-", "{", "[]", "config."):
            answer = await service.client.get(url, params={name: value})
            assert answer.status_code == 422, (name, value, answer.text)
            assert answer.json()["errors"][0]["remedy"]
    assert (await service.client.get(url)).json()["total"] == 1
