"""Round trips of events with both framings, and errors for corrupt bytes."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any

import fastavro
import numpy as np
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import DeadLetterReason, UnusableEventError
from stepwell_schemas.events.codec import Codec, decode, earlier_schemas, encode, schema_fingerprint, schema_source
from stepwell_schemas.events.models import EVENT_TYPES, Block, Event, Exact, LogBatch, LogEvent, RunFinished, RunStarted
from stepwell_schemas.limits import MAX_EVENT_BYTES
from stepwell_schemas.rules.kinds import Kind

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
PUBLISHED_FINGERPRINTS = {
    "RunStarted": "f0ec345e4637029a",
    "LogBatch": "50881faa50e60ac5",
    "LogEvent": "dc9f1e4d202db1cb",
    "RunUpdated": "ac11823fc079c78e",
    "MediaChunk": "35502b260c5a0940",
    "RunFinished": "34e9f08ef570f9b4",
    "RunDeleted": "118901217fd583a1",
}
EARLIER_FINGERPRINTS = {
    "RunStarted": ["fcf7342c6ae0d39c", "24f73c7841b80fa9"],
    "LogBatch": ["df044d0b70681970", "fef1ba33bd3d3dac"],
    "RunUpdated": ["03e25ece596517ac"],
}
"""Of schemas that earlier versions wrote: never remove one."""


def a_batch(rows: int = 3) -> LogBatch:
    """Return a batch with a block of each scalar kind."""
    return LogBatch(
        entity="e",
        project="p",
        run_id="r",
        session="s",
        sequence=10,
        rows=rows,
        timestamps=np.arange(rows, dtype="<i8").tobytes(),
        blocks=[
            Block(kind=Kind.NUMBER, keys=["a", "b"], packed=np.arange(2.0 * rows).tobytes()),
            Block(
                kind=Kind.NUMBER, keys=["n"], rows=b"\0\0\0\0", packed=bytes(8), exact=[Exact(index=0, text="9" * 30)]
            ),
            Block(kind=Kind.BOOL, keys=["c"], packed=bytes(rows)),
            Block(kind=Kind.STRING, keys=["d"], texts=["é"] * rows),
        ],
    )


class KnownIds:
    """A registry that lives in this test: ids are positions in a list."""

    def __init__(self) -> None:
        self.schemas: list[Any] = []

    def get_id(self, name: str, schema: Any) -> int:
        """Return the position of the schema, adding it when new."""
        if schema not in self.schemas:
            self.schemas.append(schema)
        return self.schemas.index(schema)

    def get_schema(self, schema_id: int) -> Any:
        """Return the schema at a position."""
        return self.schemas[schema_id] if schema_id < len(self.schemas) else None


@given(texts, texts, st.dictionaries(texts, values, max_size=8), st.none() | st.integers(0, 2**62))
def test_a_log_event_comes_back(entity: str, run_id: str, data: dict[str, Any], step: int | None) -> None:
    event = LogEvent(entity=entity, project="p", run_id=run_id, data=data, step=step)
    read = decode(encode(event))
    assert read == event
    assert isinstance(read, LogEvent)
    assert {key: type(value) for key, value in read.data.items()} == {key: type(value) for key, value in data.items()}


@given(st.lists(st.floats(width=64), min_size=1, max_size=50))
def test_packed_numbers_come_back_bit_for_bit(numbers: list[float]) -> None:
    packed = np.array(numbers).tobytes()
    batch = LogBatch(
        entity="e", project="p", run_id="r", rows=len(numbers), timestamps=bytes(8 * len(numbers)),
        blocks=[Block(kind=Kind.NUMBER, keys=["k"], packed=packed)],
    )  # fmt: skip
    read = decode(encode(batch))
    assert isinstance(read, LogBatch)
    assert read.blocks[0].packed == packed


def test_both_framings_are_read() -> None:
    ids = KnownIds()
    confluent = Codec(ids)
    payload = confluent.encode(a_batch())
    assert payload[:5] == b"\x00" + struct.pack(">I", 0)
    assert confluent.decode(payload) == a_batch()
    assert confluent.decode(encode(a_batch())) == a_batch()


def test_an_older_schema_from_the_registry_is_resolved() -> None:
    older = schema_source("RunFinished")
    assert isinstance(older, dict)
    older = {**older, "fields": [field for field in older["fields"] if field["name"] != "exit_code"]}
    buffer = io.BytesIO()
    buffer.write(b"\x00" + struct.pack(">I", 0))
    record = {"entity": "e", "project": "p", "run_id": "r", "state": "failed"}
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(older), record)
    ids = KnownIds()
    ids.schemas.append(older)
    read = Codec(ids).decode(buffer.getvalue())
    assert read == RunFinished(entity="e", project="p", run_id="r", state="failed", exit_code=0)


def test_a_foreign_producer_needs_only_the_fields_without_default() -> None:
    schema = fastavro.parse_schema(schema_source("LogEvent"))
    buffer = io.BytesIO()
    buffer.write(b"\xc3\x01" + schema_fingerprint("LogEvent"))
    fastavro.schemaless_writer(buffer, schema, {"entity": "e", "project": "p", "run_id": "r", "data": {"x": 1.5}})
    assert decode(buffer.getvalue()) == LogEvent(entity="e", project="p", run_id="r", data={"x": 1.5})


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_published_schemas_stay_as_they_are(event_type: type[Event]) -> None:
    # A changed fingerprint makes every event of older producers unreadable: publish a second schema instead.
    assert schema_fingerprint(event_type.name).hex() == PUBLISHED_FINGERPRINTS[event_type.name]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_events_of_earlier_schemas_are_read(event_type: type[Event]) -> None:
    event: dict[str, Any] = {"entity": "e", "project": "p", "run_id": "r"}
    if event_type is LogBatch:
        event |= {"rows": 0, "timestamps": b"", "blocks": []}
    found = []
    for schema in earlier_schemas(event_type.name):
        name = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        found.append(name)
        buffer = io.BytesIO()
        buffer.write(b"\xc3\x01" + bytes.fromhex(name))
        fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), event)
        assert decode(buffer.getvalue()) == event_type(**event)
    assert found == EARLIER_FINGERPRINTS.get(event_type.name, [])


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_models_and_schemas_have_the_same_fields(event_type: type[Event]) -> None:
    schema = schema_source(event_type.name)
    assert isinstance(schema, dict)
    assert [field["name"] for field in schema["fields"]] == list(event_type.model_fields)
    assert all(field.get("doc") for field in schema["fields"])


def test_every_truncation_is_malformed() -> None:
    payload = encode(a_batch())
    for length in range(10, len(payload)):
        with pytest.raises(UnusableEventError) as caught:
            decode(payload[:length])
        assert caught.value.reason is DeadLetterReason.MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_reason(noise: bytes) -> None:
    for start in (b"", b"\xc3\x01" + schema_fingerprint("LogBatch"), b"\xc3\x01" + schema_fingerprint("LogEvent")):
        with contextlib.suppress(UnusableEventError):
            assert isinstance(decode(start + noise), Event)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", DeadLetterReason.UNKNOWN_FRAMING),
        (b"{}", DeadLetterReason.UNKNOWN_FRAMING),
        (b"\xc3\x01", DeadLetterReason.UNKNOWN_SCHEMA),
        (b"\xc3\x01" + bytes(8), DeadLetterReason.UNKNOWN_SCHEMA),
        (b"\x00\x00\x00\x00\x07", DeadLetterReason.UNKNOWN_SCHEMA),
        (bytes(MAX_EVENT_BYTES + 1), DeadLetterReason.OVERSIZED),
        (encode(RunStarted(entity="e", project="p", run_id="r")) + b"x", DeadLetterReason.MALFORMED),
    ],
)
def test_a_reason_says_what_is_wrong(payload: bytes, reason: DeadLetterReason) -> None:
    with pytest.raises(UnusableEventError) as caught:
        decode(payload)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 4},
        {"timestamps": b"123"},
        {"steps": bytes(8)},
        {"commits": bytes(2)},
        {"blocks": [Block(kind=Kind.NUMBER, keys=["a"], packed=bytes(8))]},
        {"blocks": [Block(kind=Kind.STRING, keys=["a"], texts=["x"])]},
        {"blocks": [Block(kind=Kind.NUMBER, keys=["a"], rows=b"\0", packed=b"")]},
        {"blocks": [Block(kind=Kind.BOOL, keys=["a"], packed=bytes(3), exact=[Exact(index=0, text="1")])]},
    ],
)
def test_a_batch_whose_columns_do_not_match_is_no_batch(change: dict[str, Any]) -> None:
    fields = {name: getattr(a_batch(), name) for name in LogBatch.model_fields}
    with pytest.raises(ValueError, match=r"bytes|texts|exact"):
        LogBatch(**(fields | change))
