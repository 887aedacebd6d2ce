"""The address of `stepwell query`: the option, then STEPWELL_QUERY_HOST and _PORT, then STEPWELL_HOST and _PORT."""

from __future__ import annotations

import pytest

from stepwell_deploy.cli.commands.serve import query_settings

HOST, PORT = "STEPWELL_HOST", "STEPWELL_PORT"
QUERY_HOST, QUERY_PORT = "STEPWELL_QUERY_HOST", "STEPWELL_QUERY_PORT"


@pytest.mark.parametrize(
    ("environment", "option", "address"),
    [
        ({}, None, ("127.0.0.1", 8420)),
        ({HOST: "0.0.0.0", PORT: "9000"}, None, ("0.0.0.0", 9000)),
        ({HOST: "10.0.0.1"}, None, ("10.0.0.1", 8420)),
        ({HOST: "10.0.0.1", QUERY_HOST: "127.0.0.1"}, None, ("127.0.0.1", 8420)),
        ({PORT: "9000", QUERY_PORT: "9001"}, None, ("127.0.0.1", 9001)),
        ({PORT: "9000", QUERY_PORT: "8420"}, None, ("127.0.0.1", 8420)),
        ({PORT: "9000"}, 0, ("127.0.0.1", 0)),
        ({PORT: "9000", QUERY_PORT: "9001"}, 9002, ("127.0.0.1", 9002)),
    ],
)
def test_the_more_specific_setting_has_precedence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], option: int | None, address: tuple[str, int]
) -> None:
    for name in (HOST, PORT, QUERY_HOST, QUERY_PORT):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = query_settings(option)
    assert (settings.query_host, settings.query_port) == address
