"""The run of an encoded event: the one that its decoding names, or the reason why it has none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import IdentifierError, UnusableEventError
from stepwell_schemas.events.codec import decode, earlier_schemas, encode, schema_source
from stepwell_schemas.events.models import EVENT_TYPES, LogEvent, RunFinished
from stepwell_schemas.events.routing import route_event
from stepwell_schemas.rules.identifiers import RunPath

PARTS = ("entity", "project", "run_id")


def test_every_schema_begins_with_the_run() -> None:
    for event_type in EVENT_TYPES:
        for schema in (schema_source(event_type.name), *earlier_schemas(event_type.name)):
            assert isinstance(schema, dict)
            assert [field["name"] for field in schema["fields"][:3]] == list(PARTS), json.dumps(schema)[:80]
            assert {field["type"] for field in schema["fields"][:3]} == {"string"}


@given(st.tuples(*3 * [st.text(max_size=140)]))
def test_an_event_is_routed_to_the_run_that_it_names(parts: tuple[str, str, str]) -> None:
    try:
        payload = encode(RunFinished(entity=parts[0], project=parts[1], run_id=parts[2]))
    except UnicodeEncodeError:
        return
    try:
        expected = RunPath.checked(*parts)
    except IdentifierError as error:
        with pytest.raises((IdentifierError, UnusableEventError), match=error.field):
            route_event(payload)
        return
    assert route_event(payload) == (expected, payload)


@given(st.binary(max_size=40), st.integers(0, 60))
def test_any_bytes_are_routed_as_they_are_decoded_or_refused(noise: bytes, keep: int) -> None:
    payload = encode(LogEvent(entity="me", project="p", run_id="r", data={}))[:keep] + noise
    try:
        run, _ = route_event(payload)
    except (IdentifierError, UnusableEventError):
        return
    try:
        event = decode(payload)
    except UnusableEventError:
        return
    assert run == (event.entity, event.project, event.run_id)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "nothing"),
        (b"\x00\x00\x00\x00\x01", "begins with 0000"),
        (b"\xc3\x01" + bytes(8), "fingerprint 0000000000000000"),
    ],
)
def test_an_event_without_a_known_schema_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(UnusableEventError, match=reason):
        route_event(payload)


@pytest.mark.parametrize(
    ("rest", "rule"),
    [
        (b"", "entity: its length has no end"),
        (b"\xff" * 12, "entity: its length has no end"),
        (b"\x01", "entity: its length is -1 bytes"),
        (b"\xfe\x7f", "entity: its length is 8,191 bytes; it has at most 512"),
        (b"\x04a", "entity: its length is 2 bytes; 1 are left"),
        (b"\x02\xff", "entity: it is not UTF-8"),
        (b"\x02a\x02b", "run_id: its length has no end"),
    ],
)
def test_an_event_that_ends_before_its_run_is_refused(rest: bytes, rule: str) -> None:
    head = encode(RunFinished(entity="e", project="p", run_id="r"))[:10]
    with pytest.raises(UnusableEventError, match=rule):
        route_event(head + rest)
