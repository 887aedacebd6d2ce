"""The requests of docs/sampling.md, sent unchanged, and the answers that the page describes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.paths import ROOT
from support.servers.query import Service, service_over

pytestmark = pytest.mark.anyio

DOCUMENT = ROOT / "docs" / "sampling.md"
STEPS = 20_000


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    for number, name in enumerate(("abc123", "def456")):
        run = RunWriter(chdb_store, RunPath("me", "digits", name)).document(config={"lr": 0.1 * number})
        run.numbers("train/loss", np.arange(STEPS), np.random.default_rng(number).normal(size=STEPS))
        run.numbers("epoch", np.arange(STEPS), np.arange(STEPS) // 100 / 10)
    with service_over(chdb_store) as service:
        yield service


async def curl(service: Service, command: str) -> httpx.Response:
    """Send the request of a curl command."""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    parameters: dict[str, str] = {}
    headers: dict[str, str] = {}
    url, body = "", None
    for word in words:
        match word:
            case "-G" | "-i":
                pass
            case "--data-urlencode":
                name, _, value = next(words).partition("=")
                parameters[name] = value
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case _:
                url = word
    path = url.removeprefix("http://127.0.0.1:8420")
    assert path.startswith("/api/v1/")
    method = "GET" if body is None else "POST"
    return await service.client.request(method, path, params=parameters, headers=headers, content=body)


async def test_the_requests_do_what_the_page_says(service: Service) -> None:
    blocks = re.findall(r"```\n(curl .*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    answers = [await curl(service, block) for block in blocks]
    assert [answer.status_code for answer in answers] == [200] * 7, [
        answer.text for answer in answers if answer.is_error
    ]
    plain, lttb, epoch, smoothed, many, groups, refreshed = (answer.json() for answer in answers)

    series = plain["series"][0]
    assert (series["sampled"], series["bucket_width"], len(series["step"])) == (True, 64, 313)
    assert (lttb["series"][0]["sampling"], len(lttb["series"][0]["step"])) == ("lttb", 200)
    assert (epoch["series"][0]["x_axis"], epoch["series"][0]["x_width"]) == ("epoch", 0.03125)
    assert (smoothed["series"][0]["smoothed_width"], smoothed["series"][0]["step"][0]) == (1, 15_007)
    assert [run["unknown_keys"] for run in many["runs"]] == [["val/loss"]] * 2
    assert [group["value"] for group in groups["groups"]] == [0, 0.1]
    assert refreshed["series"][0]["count"] == STEPS
    again = await service.client.get(answers[-1].request.url, headers={"if-none-match": answers[-1].headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
