"""The argument `transport` of `init()`: its precedence, and the error of another value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.errors import SettingsError
from stepwell.settings import ProducerSettings, make_settings


@pytest.mark.parametrize(
    ("argument", "settings", "variable", "expected"),
    [
        (None, None, None, "auto"),
        (None, None, "kafka", "kafka"),
        (None, {"transport": "http"}, "kafka", "http"),
        ("auto", {"transport": "http"}, "kafka", "auto"),
        ("http", ProducerSettings(transport="kafka"), "kafka", "http"),
        ("http", None, "kafka", "http"),
    ],
)
def test_the_argument_precedes_the_settings_and_these_the_environment(
    argument: str | None, settings: Any, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("STEPWELL_TRANSPORT", variable)
    assert make_settings(settings, None, transport=argument).transport == expected


@pytest.mark.parametrize("value", ["ftp", "HTTP", "", 3, ["http"]])
def test_another_value_is_an_error_that_lists_the_right_ones(value: Any, tmp_path: Path) -> None:
    choices: list[ProducerSettings | dict[str, str]] = [{}, ProducerSettings()]
    for settings in choices:
        with pytest.raises(SettingsError, match="must be auto, kafka or http") as caught:
            stepwell.init(mode="offline", dir=tmp_path, settings=settings, transport=value)
        assert repr(value) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_transport_decides_the_destination_of_the_journal(tmp_path: Path) -> None:
    settings = {"kafka_bootstrap_servers": "kafka:9092", "base_url": "http://service:8420", "dir": tmp_path}
    assert make_settings(settings, None, transport="http").destination == "http://service:8420"
    assert make_settings(settings, None, transport="kafka").destination == "kafka:9092"
