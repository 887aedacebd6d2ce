"""Guests change settings of an exact list, and limits only downwards."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.clickhouse_server.guest_settings import LEAST_SECONDS, RULES
from stepwell_deploy.clickhouse_server.guests import Limits, check_settings, with_limits
from stepwell_deploy.clickhouse_server.request import Request, StatementError

LIMITS = Limits(seconds=30.0, memory_bytes=1_000_000, answer_bytes=5_000)
BOUNDS = {"max_execution_time": 30.0, "max_memory_usage": 1_000_000, "max_result_bytes": 5_000}

# Numbers in usual forms, and any text.
WRITTEN = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.floats(0, 100).map(lambda value: f"{value:.9f}"),
    st.from_regex(r"[+-]?[0-9_ ]{0,4}(\.[0-9]{0,9})?(e-?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["0", "-1", "nan", "inf", "-inf", "0x1F", "1e-7", "0.0000001", "1_000", "١", "auto", "true", " 1", "1s"]
    ),
)


def asked(form: str = "JSON", **settings: str) -> Request:
    return Request(b"SELECT 1", form, "", {}, settings)


def settled(request: Request) -> dict[str, str]:
    return with_limits(check_settings(request), LIMITS, streamed=request.streamed())


def error_code(request: Request) -> int:
    with pytest.raises(StatementError) as caught:
        settled(request)
    return caught.value.code


@given(st.sampled_from(sorted(BOUNDS)), WRITTEN)
def test_a_limit_is_only_tightened(name: str, value: str) -> None:
    settings = {}
    with suppress(StatementError):
        settings = settled(asked(**{name: value}))
    if not settings:
        assert error_code(asked(**{name: value})) == 452
        return
    least = LEAST_SECONDS if name == "max_execution_time" else 1
    assert least <= float(settings[name]) <= BOUNDS[name]
    # The engine reads digits, and nothing that it could understand in another way.
    assert settings[name].replace(".", "", 1).isascii()
    assert settings[name].replace(".", "", 1).isdigit()


@pytest.mark.parametrize("form", ["JSON", "TabSeparated"])
def test_limits_hold_that_were_not_named(form: str) -> None:
    settings = settled(asked(form))
    assert {name: float(settings[name]) for name in BOUNDS if name in settings} == {
        name: bound for name, bound in BOUNDS.items() if form == "JSON" or name != "max_result_bytes"
    }


@given(st.text().filter(lambda name: name not in RULES), WRITTEN)
def test_a_setting_that_is_not_listed_is_refused(name: str, value: str) -> None:
    assert error_code(asked(**{name: value})) == 164


@pytest.mark.parametrize("suffix", ["_", "_path", "_schema", " ", "\n", "s", "="])
def test_a_name_is_matched_whole(suffix: str) -> None:
    for name in RULES:
        assert error_code(asked(**{name + suffix: "1"})) == 164


@given(st.sampled_from(sorted(RULES)), WRITTEN)
def test_a_value_reaches_the_engine_in_one_form(name: str, value: str) -> None:
    written = RULES[name](value)
    if written is not None:
        assert RULES[name](written) == written
        assert written.isprintable() or written == "\t"
        assert "/" not in written or name == "session_timezone"


@pytest.mark.parametrize(
    "zone",
    ["/etc/passwd", "../../etc/passwd", "Europe/../../x", "file:/x", "Europe//Berlin", "a" * 40, "UTC\0", "UTC\n"],
)
def test_a_time_zone_is_no_path(zone: str) -> None:
    assert error_code(asked(session_timezone=zone)) == 452


@pytest.mark.parametrize(
    "form",
    ["ProtobufSingle", "Template", "CapnProto", "AvroConfluent", "XML", "PNG", "CSV\r\nX: y", "csv", "", "MySQLWire"],
)
def test_a_format_that_is_not_listed_is_refused(form: str) -> None:
    assert error_code(asked(form)) == 73
