"""Encode and decode events: Avro with one of two framings, distinguished by the first byte.

- Avro single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes, little-endian), the record.
  It needs no registry; the fingerprints of all our schemas are known.
- Confluent framing: `00`, a schema id (4 bytes, big-endian), the record. Written if a schema registry is configured;
  read if the registry (a `SchemaIds`) knows the schema id.

Sources: Avro 1.12 specification, "Single-object encoding"; Confluent wire format.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, Protocol

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from pydantic import ValidationError

from stepwell_schemas.errors import DeadLetterReason, UnusableEventError, shorten
from stepwell_schemas.events.models import EVENT_TYPES, Event
from stepwell_schemas.limits import MAX_EVENT_BYTES

Schema = str | list[Any] | dict[Any, Any]

SINGLE_OBJECT_MAGIC: Final = b"\xc3\x01"
CONFLUENT_MAGIC: Final = b"\x00"
_FINGERPRINT_BYTES: Final = 8
_SCHEMA_ID_BYTES: Final = 4
_SHOWN_CHARS: Final = 120
_MESSAGE_CHARS: Final = 400


class SchemaIds(Protocol):
    """The part of a schema registry that the Confluent framing uses. Calls may block on the first use of a schema."""

    def get_id(self, name: str, schema: Schema) -> int:
        """Return the registry's id of a schema; register it if it is new. Raises: RegistryError."""

    def get_schema(self, schema_id: int) -> Schema | None:
        """Return the schema of an id, None if the registry does not know it. Raises: RegistryError."""


def schema_source(name: str) -> Schema:
    """Return the Avro schema of the event `name` from its `.avsc` file."""
    text = resources.files("stepwell_schemas").joinpath("avro", f"{name}.avsc").read_text("utf-8")
    schema: Schema = json.loads(text)
    return schema


@cache
def parsed_schema(name: str) -> Schema:
    """Return the schema of the event `name`, parsed by fastavro."""
    parsed: Schema = fastavro.parse_schema(schema_source(name))
    return parsed


@cache
def schema_fingerprint(name: str) -> bytes:
    """Return the CRC-64-AVRO fingerprint of the event `name`: 8 bytes, little-endian."""
    return _fingerprint(schema_source(name))


def _fingerprint(schema: Schema) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def earlier_schemas(name: str) -> list[Schema]:
    """Return the schemas of the event `name` that earlier versions wrote; each stays readable."""
    folder = resources.files("stepwell_schemas").joinpath("avro", "earlier")
    files = sorted((file for file in folder.iterdir() if file.name.startswith(f"{name}-")), key=lambda file: file.name)
    return [json.loads(file.read_text("utf-8")) for file in files]


@cache
def _by_fingerprint() -> Mapping[bytes, tuple[type[Event], Schema]]:
    """Return event and writer's schema by fingerprint, of this version and of all earlier ones."""
    known: dict[bytes, tuple[type[Event], Schema]] = {}
    for event_type in EVENT_TYPES:
        for schema in earlier_schemas(event_type.name):
            known[_fingerprint(schema)] = event_type, fastavro.parse_schema(schema)
        known[schema_fingerprint(event_type.name)] = event_type, parsed_schema(event_type.name)
    return known


def known_fingerprints() -> frozenset[bytes]:
    """Return the fingerprints of all events, of this version and of earlier ones."""
    return frozenset(_by_fingerprint())


@cache
def _by_full_name() -> Mapping[str, type[Event]]:
    return {_full_name(parsed_schema(event_type.name)): event_type for event_type in EVENT_TYPES}


def _full_name(parsed: Schema) -> str:
    return str(parsed["name"]) if isinstance(parsed, dict) else ""


class Codec:
    """Encodes and decodes events; with `ids`, it writes the Confluent framing and reads both.

    It has no connection of its own. Thread-safe if `ids` is.
    """

    def __init__(self, ids: SchemaIds | None = None) -> None:
        self._ids = ids
        self._foreign: dict[int, tuple[type[Event], Schema]] = {}

    def encode(self, event: Event) -> bytes:
        """Encode an event as a message value."""
        name = type(event).name
        buffer = io.BytesIO()
        if self._ids is None:
            buffer.write(SINGLE_OBJECT_MAGIC + schema_fingerprint(name))
        else:
            schema_id = self._ids.get_id(name, schema_source(name))
            buffer.write(CONFLUENT_MAGIC + schema_id.to_bytes(_SCHEMA_ID_BYTES, "big"))
        fastavro.schemaless_writer(buffer, parsed_schema(name), event.model_dump(by_alias=True))
        return buffer.getvalue()

    def decode(self, payload: bytes) -> Event:
        """Decode a message value.

        Raises:
            UnusableEventError: if it is not a valid event, with the reason.
            RegistryError: if a schema id could not be looked up; the same call may succeed later.
        """
        if len(payload) > MAX_EVENT_BYTES:
            raise UnusableEventError(
                DeadLetterReason.OVERSIZED, f"{len(payload):,} bytes; an event has at most {MAX_EVENT_BYTES:,}"
            )
        if payload[:2] == SINGLE_OBJECT_MAGIC:
            body = len(SINGLE_OBJECT_MAGIC) + _FINGERPRINT_BYTES
            known = _by_fingerprint().get(payload[len(SINGLE_OBJECT_MAGIC) : body])
            if known is None:
                found = payload[len(SINGLE_OBJECT_MAGIC) : body].hex()
                raise UnusableEventError(
                    DeadLetterReason.UNKNOWN_SCHEMA, f"fingerprint {found} is none of Stepwell's events"
                )
            return _read(*known, payload, body)
        if payload[:1] == CONFLUENT_MAGIC:
            body = len(CONFLUENT_MAGIC) + _SCHEMA_ID_BYTES
            event_type, schema = self._registered(int.from_bytes(payload[len(CONFLUENT_MAGIC) : body], "big"))
            return _read(event_type, schema, payload, body)
        raise UnusableEventError(
            DeadLetterReason.UNKNOWN_FRAMING,
            f"begins with {payload[:2].hex() or 'nothing'}; an event begins with c301 (Avro single object) or 00",
        )

    def _registered(self, schema_id: int) -> tuple[type[Event], Schema]:
        if schema_id not in self._foreign:
            schema = self._ids.get_schema(schema_id) if self._ids else None
            if schema is None:
                raise UnusableEventError(
                    DeadLetterReason.UNKNOWN_SCHEMA, f"schema id {schema_id} is not known to a configured registry"
                )
            parsed: Schema = fastavro.parse_schema(schema)
            event_type = _by_full_name().get(_full_name(parsed))
            if event_type is None:
                raise UnusableEventError(
                    DeadLetterReason.UNKNOWN_SCHEMA,
                    f"schema id {schema_id} is of {_full_name(parsed) or 'no record'}, no event of ours",
                )
            self._foreign[schema_id] = event_type, parsed
        return self._foreign[schema_id]


def _read(event_type: type[Event], writer_schema: Schema, payload: bytes, start: int) -> Event:
    buffer = io.BytesIO(payload)
    buffer.seek(start)
    reader_schema = parsed_schema(event_type.name)
    try:
        fields = fastavro.schemaless_reader(
            buffer, writer_schema, None if writer_schema is reader_schema else reader_schema
        )
    except Exception as error:
        # fastavro raises exceptions of many types for corrupt bytes (EOFError, IndexError, OverflowError,
        # UnicodeDecodeError, MemoryError, …); all of them mean that the bytes are not such an event.
        raise UnusableEventError(
            DeadLetterReason.MALFORMED, f"no {event_type.name}: {type(error).__name__}: {error}"
        ) from error
    if (left := len(payload) - buffer.tell()) != 0:
        raise UnusableEventError(DeadLetterReason.MALFORMED, f"{left} bytes left over after a {event_type.name}")
    try:
        return event_type.model_validate(fields, strict=False)
    except ValidationError as error:
        raise UnusableEventError(DeadLetterReason.MALFORMED, f"{event_type.name} {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """Describe the first validation error: the field, the value if it is a scalar, and the rule."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:_SHOWN_CHARS]
    value = first["input"]
    shown = f" {shorten(value)}" if isinstance(value, bool | int | float | str) else ""
    return f"{field}{shown}: {first['msg'][:_MESSAGE_CHARS]}"


_PLAIN = Codec()


def encode(event: Event) -> bytes:
    """Encode an event as a message value in Avro single-object encoding."""
    return _PLAIN.encode(event)


def decode(payload: bytes) -> Event:
    """Decode a message value in Avro single-object encoding. Raises: UnusableEventError."""
    return _PLAIN.decode(payload)
