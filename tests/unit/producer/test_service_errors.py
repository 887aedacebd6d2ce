"""Sentences about a service that gives no usable answer: a service that runs needs no start."""

from __future__ import annotations

import httpx
import pytest

from stepwell.service_errors import START_REMEDY, URL_REMEDY, describe_unanswered
from stepwell_deploy.cli.commands.errors import sentence

_URL = "http://127.0.0.1:8420"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (httpx.ConnectError(""), START_REMEDY),
        (httpx.ConnectTimeout(""), START_REMEDY),
        (httpx.ReadTimeout(""), ""),
        (httpx.PoolTimeout(""), ""),
        (httpx.ReadError(""), ""),
        (httpx.RemoteProtocolError(""), ""),
        (httpx.UnsupportedProtocol(""), URL_REMEDY),
        (httpx.InvalidURL(""), URL_REMEDY),
        (KeyError("kafka"), URL_REMEDY),
        (httpx.HTTPStatusError("", request=httpx.Request("GET", _URL), response=httpx.Response(502)), ""),
        (httpx.HTTPStatusError("", request=httpx.Request("GET", _URL), response=httpx.Response(404)), URL_REMEDY),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_remedy_fits_what_is_known_of_the_service(error: Exception, remedy: str) -> None:
    described = describe_unanswered(_URL, error)
    assert described.remedy == remedy
    assert _URL in described.text


@pytest.mark.parametrize("url", ["127.0.0.1:8420", "localhost:8420", ""])
def test_a_url_without_a_scheme_is_reported_with_the_setting(url: str) -> None:
    with httpx.Client(base_url=url) as client, pytest.raises(httpx.UnsupportedProtocol) as raised:
        client.get("/api/v1/connect")
    assert "STEPWELL_BASE_URL" in describe_unanswered(url, raised.value).remedy
    assert "STEPWELL_BASE_URL" in sentence(raised.value)
