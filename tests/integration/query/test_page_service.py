"""Endpoints of the page: its files, its security headers, live updates, metrics of several runs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest

from stepwell_query.media.tables import CONTENT_TYPE
from stepwell_query.web_assets import Page
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.query import Service, service_over
from support.servers.sdk import serving

pytestmark = pytest.mark.anyio
RUN = RunPath("me", "p", "one")


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    """A service over an empty store."""
    with service_over(chdb_store) as running:
        yield running


@pytest.mark.parametrize("address", ["/", "/me", "/me/p", "/me/p/one", "/it's%20🚀/p"])
async def test_the_page_is_fenced_in_wherever_it_is(service: Service, address: str) -> None:
    answer = await service.client.get(address)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-cache"
    preloads = re.findall("<([^>]*)>; rel=preload; as=fetch; crossorigin", answer.headers["link"])
    assert preloads[1:] == ([] if address in {"/", "/me"} else ["/api/v1/connect"])
    for preload in preloads:
        assert (await service.client.get(preload)).status_code in {200, 404}
    again = await service.client.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_its_files_are_kept_for_good_and_compressed(service: Service) -> None:
    base = f"/-/assets/{Page.read().version}"
    answer = await service.client.get(f"{base}/js/main.js", headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (await service.client.get("/-/assets/0123/js/main.js")).status_code == 404
    assert (await service.client.get(f"{base}/js/../../app.py")).status_code == 404
    frame = await service.client.get(f"{base}/frame/plotly.html")
    assert frame.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")


@pytest.mark.parametrize(
    "address", ["/api", "/api/v1/nothing", "/api/v2", "/-/nothing", "/favicon.ico", "/-/assets/nothing"]
)
async def test_what_is_unknown_below_our_own_names_is_no_page(service: Service, address: str) -> None:
    answer = await service.client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_what_runs_logged_together(service: Service, chdb_store: Store) -> None:
    for name, key in (("one", "loss"), ("two", "accuracy")):
        writer = RunWriter(chdb_store, RunPath("me", "p", name)).document()
        writer.numbers("shared", [3, 9], [1.0, 2.0]).bools(key, [1], [True])
    for rank in ("rank0", "rank1"):
        writer.as_writer(rank).numbers("shared", [3], [1.0])
    url = "/api/v1/projects/me/p/metrics"
    found = (await service.client.post(url, json={"run_ids": ["one", "two", "gone"]})).json()["metrics"]
    assert (found["key"], found["runs"]) == (["accuracy", "loss", "shared"], [1, 1, 2])
    assert found["writers"] == [0, 0, 2]
    assert (found["kind"][2], found["first_step"][2], found["last_step"][2]) == ("number", 3, 9)
    found = (await service.client.post(url, json={"run_ids": ["one"]})).json()["metrics"]
    assert found["key"] == ["loss", "shared"]
    assert found["folded"] == ["loss", "shared"]
    bodies: list[dict[str, list[str]]] = [{"runs": []}, {"run_ids": ["a/b"]}, {"run_ids": ["\ud800"]}]
    for body in bodies:
        assert (await service.client.post(url, content=json.dumps(body))).status_code == 422


def test_news_of_runs_come_as_events_until_the_service_stops(chdb_store: Store) -> None:
    writer = RunWriter(chdb_store, RUN).document()
    writer.numbers("loss", [0, 1], [1.0, 2.0])
    found: list[dict[str, Any]] = []
    heard = threading.Event()

    def listen(url: str) -> None:
        with httpx.stream("GET", f"{url}/api/v1/projects/me/p/events", timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.extend(json.loads(line.removeprefix("data: "))["runs"])
                    heard.set()

    with serving(chdb_store, crashed_after_seconds=1e9) as url:
        listener = threading.Thread(target=listen, args=(url,))
        listener.start()
        assert heard.wait(20)
        assert found == [{"run_id": "one", "offset": 2, "step": 1, "state": "running"}]
        heard.clear()
        writer.numbers("loss", [2], [3.0])
        assert heard.wait(20)
        assert found[1]["offset"] == 3
    # The stream never ends by itself; stopping the service closes it.
    listener.join(20)
    assert not listener.is_alive()


async def test_a_name_that_can_be_no_project_is_refused(service: Service) -> None:
    answer = await service.client.get("/api/v1/projects/me/%20p/events")
    assert answer.status_code == 422


async def test_rows_are_given_of_tables_alone(service: Service, chdb_store: Store) -> None:
    for sha256, size, content_type in (("a" * 64, 10, "text/html"), ("b" * 64, 2**40, CONTENT_TYPE)):
        row = {"sha256": sha256, "size": size, "content_type": content_type, **RUN._asdict(), "version": 1}
        chdb_store.insert("media_files", pa.Table.from_pylist([row]))
    other = await service.client.get(f"/api/v1/media/{'a' * 64}/rows")
    assert (other.status_code, other.json()["type"]) == (422, "urn:stepwell:problem:bad-parameter")
    assert "text/html" in other.json()["errors"][0]["rule"]
    large = await service.client.get(f"/api/v1/media/{'b' * 64}/rows")
    assert (large.status_code, large.json()["type"]) == (422, "urn:stepwell:problem:bad-parameter")
    assert f"/api/v1/media/{'b' * 64}" in large.json()["errors"][0]["remedy"]
    assert (await service.client.get(f"/api/v1/media/{'c' * 64}/rows")).status_code == 404
    assert (await service.client.get(f"/api/v1/media/{'a' * 64}/rows?limit=0")).status_code == 422


async def test_spellings_of_a_metric_have_one_folded_key(service: Service, chdb_store: Store) -> None:
    for name, key in (("one", "Straße"), ("two", "STRASSE")):
        writer = RunWriter(chdb_store, RunPath("me", "p", name))
        writer.document(metric_definitions=[{"name": f"{key}/*", "glob": True}]).numbers(key, [0, 1], [1.0, 2.0])
        writer.spelling(key)
    body = {"run_ids": ["one", "two"]}
    metrics = (await service.client.post("/api/v1/projects/me/p/metrics", json=body)).json()["metrics"]
    assert dict(zip(metrics["key"], metrics["folded"], strict=True)) == {"STRASSE": "strasse", "Straße": "strasse"}
    runs = (await service.client.get("/api/v1/projects/me/p/runs")).json()["runs"]
    assert [run["metric_definitions"][0]["folded"] for run in runs] == ["strasse/*", "strasse/*"]
    request = {"runs": ["me/p/one", "me/p/two"], "keys": ["STRASSE"], "points": 10}
    answers = (await service.client.post("/api/v1/series", json=request)).json()["runs"]
    assert [[series["folded"] for series in answer["series"]] for answer in answers] == [["strasse"], ["strasse"]]
    request = {"groups": {"all": request["runs"]}, "keys": ["STRASSE"], "points": 10}
    groups = (await service.client.post("/api/v1/groups", json=request)).json()
    assert {series["folded"] for series in groups["series"]} == {"strasse"}


async def test_the_limits_of_the_page_are_those_of_the_service(service: Service, chdb_store: Store) -> None:
    for number in range(60):
        RunWriter(chdb_store, RunPath("me", "p", f"r{number}")).document()
    limits = (await service.client.get("/api/v1/connect")).json()["limits"]
    url = "/api/v1/projects/me/p/runs"
    assert len((await service.client.get(url)).json()["runs"]) == limits["first_runs"]
    for limit, status in ((limits["runs"], 200), (limits["runs"] + 1, 422)):
        assert (await service.client.get(url, params={"limit": limit})).status_code == status
    columns = [f"config.k{number}" for number in range(limits["columns"] + 1)]
    assert (await service.client.get(url, params={"columns": columns})).status_code == 422
    assert (await service.client.get(url, params={"columns": columns[1:]})).status_code == 200
