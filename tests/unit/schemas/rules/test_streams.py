"""The stream in a writer's name."""

from __future__ import annotations

import pytest

from stepwell_schemas.rules.streams import CONSOLE, DEFAULT, SYSTEM, parse_stream, stream_key, stream_writer


@pytest.mark.parametrize("writer", ["", "rank1", "a/b", "fork-12", "odd//name"])
def test_a_stream_s_writer_is_told_from_the_run_s_own(writer: str) -> None:
    assert parse_stream(writer) == DEFAULT
    names = {stream: stream_writer(writer, stream) for stream in (SYSTEM, CONSOLE)}
    assert [parse_stream(name) for name in names.values()] == [SYSTEM, CONSOLE]
    assert len(set(names.values())) == 2


@pytest.mark.parametrize("writer", ["system", "console", "/system", "a/system", "//other", "//system/x"])
def test_names_that_only_resemble_one_are_the_users_own(writer: str) -> None:
    assert parse_stream(writer) == DEFAULT


def test_writers_with_names_have_keys_of_their_own() -> None:
    assert stream_key("", SYSTEM, "cpu") == "system/cpu"
    assert stream_key("rank0", SYSTEM, "cpu") == "system/cpu"
    assert stream_key("rank1", SYSTEM, "cpu") == "system/rank1/cpu"
