"""Requests that try to break the service: numbers at their bounds, odd bytes, forged cursors, deep JSON, many names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = pytest.mark.anyio

RUN: Final = "/api/v1/runs/me/digits/one"
PROJECT: Final = "/api/v1/projects/me/digits"
SHA256: Final = "0" * 64
SECONDS: Final = 10
"""Each takes a few milliseconds; tests share their machine."""

NUMBERS: Final = (
    "-1", "0", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "9" * 5_000, "1e999", "NaN", "inf", "-inf", "0x10", "1_0", "٣", "", " ", "\x00", "1.5", "null", "[]",
)  # fmt: skip
TEXTS: Final = (
    "", "\x00", "\x00\x01", "\ufeff", "\u202e", "🚀" * 300, "a" * 60_000, "../../etc/passwd", "%00", "%s%n{0}{db}",
    "'; DROP TABLE runs --", "(" * 5_000, "*" * 500, "{" * 5_000, "__proto__", "\n", "-", ",", "*@*", "1@-1",
    "0@" + "9" * 30,
)  # fmt: skip
NUMBER_NAMES: Final = {
    f"{RUN}/series?key=loss": ("points", "from", "to", "seed", "smoothing", "smoothing_parts"),
    f"{RUN}/history": ("samples", "min_step", "max_step"),
    f"{RUN}/scan": ("page_size", "min_step", "max_step"),
    f"{PROJECT}/runs": ("limit",),
    f"{PROJECT}/runs/columns": ("limit",),
    f"/api/v1/media/{SHA256}/rows": ("offset", "limit"),
}
TEXT_NAMES: Final = {
    f"{RUN}/series": ("key", "x", "sampling", "nan", "format"),
    f"{RUN}/history": ("key", "interpolate", "stream", "format", "nan"),
    f"{RUN}/scan": ("key", "cursor", "having", "shape", "stream"),
    f"{PROJECT}/runs": ("filter", "order", "cursor", "columns", "nan"),
    f"{PROJECT}/runs/columns": ("search",),
    f"/api/v1/media/{SHA256}/rows": ("sort", "search", "column", "descending"),
}
DEEP: Final = b"[" * 100_000 + b"]" * 100_000
BODIES: Final = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b'"\\ud800"', b"NaN", b"1e999", DEEP,
    b'{"runs": ' + DEEP + b"}", b'{"runs": ["\\ud800/a/b"], "keys": ["\\udfff"]}',
    b'{"runs": ["me/digits/one"], "keys": ["loss"], "points": 1e400}',
    b'{"runs": ["me/digits/one"], "keys": ["loss"], "points": ' + b"9" * 4_000 + b"}",
    b'{"runs": ["me/digits/one"], "keys": ["loss"], "from": -1, "to": 1e999}',
    b'{"run_ids": ["\\u0000", "one"]}', b'{"run_ids": [{}]}',
    b'{"sql": "SELECT \\u0000"}', b'{"sql": "\\ud800"}',
    b'{"sql": "SELECT {a:String}", "parameters": {"a": "\\ud800"}}',
    b'{"sql": "SELECT {a:UInt8}", "parameters": {"a": NaN}}', b'{"sql": "SELECT 1", "parameters": {"\\u0000": 1}}',
    b'{"sql": "SELECT {a:Int64}", "parameters": {"a": ' + b"9" * 4_000 + b"}}",
    b'{"sql": "' + b"(" * 50_000 + b'"}', b'{"sql": "SELECT ' + b"(" * 2_000 + b"1" + b")" * 2_000 + b'"}',
    b'{"sql": "SELECT repeat(\'a\', 1000000000)"}', b'{"sql": "SELECT * FROM numbers(1e12)"}',
)  # fmt: skip
POSTED: Final = ("/api/v1/series", "/api/v1/groups", "/api/v1/sql", f"{PROJECT}/metrics")


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[str]:
    """A database with 300 runs, which no request changes."""
    with stack.lend_database() as lent:
        with gathered(stack.embedded(lent)) as gathering:
            for number in range(300):
                name = "one" if number == 0 else f"run-{number}"
                RunWriter(gathering, RunPath("me", "digits", name)).document(config={"lr": number}).numbers(
                    "loss", range(20), range(20)
                )
        yield lent


@pytest.fixture
def service(chdb_store: Store, tmp_path: Any) -> Iterator[Service]:
    limits = {"query_max_seconds": 5, "sql_max_seconds": 2, "sql_max_memory_bytes": 200_000_000}
    with service_over(chdb_store, media_url=str(tmp_path), **limits) as served:
        yield served


class Attack:
    """Sends requests and notes those that are answered badly."""

    def __init__(self, service: Service) -> None:
        self._client = service.client
        self.failures: list[str] = []

    async def send(self, method: str, url: str, **more: Any) -> None:
        """Send one request: it must be answered in time, refused ones with a problem document without server paths."""
        began = time.monotonic()
        answer = await self._client.request(method, url, **more)
        seconds = time.monotonic() - began
        wrong = []
        if answer.status_code >= 500:
            wrong.append("failed")
        if seconds > SECONDS:
            wrong.append(f"took {seconds:.1f} s")
        if answer.status_code >= 400 and method != "HEAD":
            if answer.headers["content-type"] != "application/problem+json":
                wrong.append("is not a problem document")
            elif not str(answer.json()["type"]).startswith("urn:stepwell:problem:"):
                wrong.append("has no type")
            elif any(f"{secret}/" in answer.text for secret in ("/tmp", "site-packages", "/home", "stepwell_query")):
                wrong.append("names a path")
        if wrong:
            shown = str(more)[:200]
            self.failures.append(f"{method} {url[:200]} {shown}: {answer.status_code} {wrong} {answer.text[:300]}")


async def test_no_number_or_text_in_a_query_breaks_the_service(service: Service) -> None:
    attack = Attack(service)
    for names, values in ((NUMBER_NAMES, NUMBERS), (TEXT_NAMES, TEXTS)):
        for url, parameters in names.items():
            for name in parameters:
                for value in values:
                    await attack.send("GET", url, params={name: value} | ({"key": "loss"} if "series?" in url else {}))
    assert attack.failures == []


async def test_no_body_breaks_the_service(service: Service) -> None:
    attack = Attack(service)
    for url in POSTED:
        for body in BODIES:
            await attack.send("POST", url, content=body, headers={"content-type": "application/json"})
        await attack.send("POST", url, content=b"x=1", headers={"content-type": "application/x-www-form-urlencoded"})
        many = [f"me/digits/run-{number}" for number in range(20_000)]
        keys = [f"k{number}" for number in range(20_000)]
        for large in ({"runs": many, "keys": ["loss"]}, {"runs": many[:2], "keys": keys}, {"run_ids": many}):
            await attack.send("POST", url, json=large)
        wide = {"groups": {f"g{number}": many[:300] for number in range(300)}, "keys": ["loss"]}
        await attack.send("POST", url, content=json.dumps(wide).encode())
    assert attack.failures == []


async def test_refusals_are_short_and_quick_however_many_rules_a_body_breaks(service: Service) -> None:
    # Each of these bodies has 1 to 3 MB and breaks hundreds of thousands of rules, or has one long name.
    names = {f"z{number}": 1 for number in range(100_000)}
    bodies = [json.dumps(names), json.dumps({"z" * 3_000_000: 1})]
    bodies += [f'{{"{field}": [{"1," * 500_000}1]}}' for field in ("runs", "keys", "run_ids", "writer")]
    bodies += [json.dumps({"keys": ["loss"], "groups": groups}) for groups in (names, {"g": [1] * 500_000})]
    slow = []
    for url in POSTED:
        for body in bodies:
            began = time.monotonic()
            answer = await service.client.post(url, content=body, headers={"content-type": "application/json"})
            seconds = time.monotonic() - began
            assert answer.status_code == 422
            assert answer.json()["errors"]
            if len(answer.content) > 16_384 or seconds > SECONDS / 2:
                slow.append((url, body[:40], len(answer.content), seconds))
    assert slow == []


async def test_no_path_method_or_header_breaks_the_service(service: Service) -> None:
    attack = Attack(service)
    for part in ("%ff", "%00", "%2e%2e", "%2F", "..", "%F0%9F%9A%80", "a" * 5_000, "%0d%0aset-cookie:x", "-", "~"):
        for url in (
            f"/api/v1/runs/{part}/{part}/{part}", f"/api/v1/runs/me/digits/{part}/history", f"/api/v1/media/{part}",
            f"/api/v1/projects/{part}/{part}/runs", f"{RUN}/sessions/{part}", f"/-/assets/{part}/{part}", f"/{part}/x",
        ):  # fmt: skip
            await attack.send("GET", url)
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "X"):
        for url in (RUN, f"{PROJECT}/runs", "/api/v1/sql", f"/api/v1/media/{SHA256}", "/"):
            await attack.send(method, url)
    ranges = ("bytes=", "bytes=-", "bytes=9-1,2-3", "bytes=" + "9" * 5_000)
    odd = (*ranges, "", "*", '"', 'W/"x", ' * 500, "\xff" * 50, "q=;;,")
    names = ("range", "if-range", "if-none-match", "accept", "accept-encoding", "content-type", "x-forwarded-for")
    for name in names:
        for value in odd:
            raw = [(name.encode(), value.encode("latin-1"))]
            for url in (f"{RUN}/series?key=loss", "/"):
                await attack.send("GET", url, headers=raw)
    assert attack.failures == []


async def test_patterns_that_take_others_for_ever_take_no_time(service: Service) -> None:
    attack = Attack(service)
    for pattern in ("(a+)+$", "(a|a)*b", "((((a{1,100}){1,100}){1,100}){1,100})", "(?=a)", "\\\\1(a)", "[" * 1_000):
        for field in ("name", "tags"):
            await attack.send("GET", f"{PROJECT}/runs", params={"filter": f"{field} ~ '{pattern}'"})
    nested = "(" * 400 + "state = 'x'" + ")" * 400
    joined = " or ".join(["config.lr = 1"] * 2_000)
    for text in (nested, joined, "not " * 2_000 + "state = 'x'", '{"$or": ' * 500 + "[]" + "}" * 500):
        await attack.send("GET", f"{PROJECT}/runs", params={"filter": text})
    assert attack.failures == []
