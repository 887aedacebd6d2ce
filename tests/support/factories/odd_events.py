"""Odd events: every field of every Avro schema at its bounds and beyond them, and random mutations of events.

Cases are derived from the `.avsc` files, so that a new field is covered without a change here. They are written by an
encoder of this module: fastavro writes no integer beyond 64 bits, no broken text and no wrong length.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from typing import Any, Final

from stepwell_schemas.events.codec import SINGLE_OBJECT_MAGIC, schema_fingerprint, schema_source
from stepwell_schemas.events.models import EVENT_TYPES, RunDeleted
from stepwell_schemas.rules.identifiers import RunPath

ODD_RUN: Final = RunPath("odd", "events", "run")
HEADER_BYTES: Final = 10
"""Bytes of the framing before the record."""

_DATA: Final = b"some bytes"
_I32, _I62, _I63 = 2**31, 2**62, 2**63
_FLOATS: Final = (0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, -1e308)
# By field name; all other fields have their default, or the simplest value of their type.
_PLAIN_FIELDS: Final[dict[str, Any]] = {
    **ODD_RUN._asdict(),
    "sequence": 0,
    "timestamp": 1_700_000_000_000_000,
    "rows": 2,
    "timestamps": struct.pack("<2q", 1_700_000_000_000_000, 1_700_000_000_000_001),
    "sha256": hashlib.sha256(_DATA).hexdigest(),
    "data": _DATA,
    "size": len(_DATA),
    "count": 1,
    "index": 0,
}
_PLAIN_RECORDS: Final[dict[str, dict[str, Any]]] = {
    "LogEvent": {"data": {"loss": 0.5}},
    "Block": {"kind": "number", "keys": ["loss"], "rows": None, "packed": struct.pack("<2d", 0.5, 0.25)},
    "Exact": {"text": "9007199254740993"},
    "Other": {"json": "[1, 2]"},
    "Media": {"kind": "image", "json": '{"sha256": "00"}'},
    "MetricDefinition": {"name": "loss"},
}


class Wire(bytes):
    """Bytes that are written to an encoded record without change."""


class Branch:
    """A value of a union, with its branch."""

    def __init__(self, number: int, value: Any) -> None:
        self.number = number
        self.value = value


def odd_events(run: RunPath = ODD_RUN) -> Iterator[tuple[str, bytes]]:
    """Yield names of cases and message values, each with one field at a bound or beyond it; the same in every call.

    Deletions are of a run of their own, in a project and an entity of its own.
    """
    for event_type in EVENT_TYPES:
        schema: Any = schema_source(event_type.name)
        for number, (name, record) in enumerate(_record_cases(schema, f"{event_type.name}.")):
            # Each case has its own session, so that no case counts as a repetition of another.
            session = {"session": f"{event_type.name}-{number}"} if "session" not in name else {}
            of_run = RunPath(*(f"{part}-deleted" for part in run)) if event_type is RunDeleted else run
            given = {key: value for key, value in of_run._asdict().items() if f".{key}=" not in name}
            yield name, frame(event_type.name, {**record, **session, **given})


def frame(name: str, record: dict[str, Any]) -> bytes:
    """Return a record of the event `name` as a message value; values may be `Wire` bytes."""
    return SINGLE_OBJECT_MAGIC + schema_fingerprint(name) + _encoded(schema_source(name), record)


def plain_record(name: str) -> dict[str, Any]:
    """Return the fields of a valid event `name`."""
    record: dict[str, Any] = _plain(schema_source(name))
    return record


def mutated(rng: random.Random, event_bytes: bytes) -> bytes:
    """Return a message value with one to four random changes, mostly after its framing."""
    value = bytearray(event_bytes)
    for _ in range(rng.randint(1, 4)):
        first = HEADER_BYTES if rng.random() < 0.95 and len(value) > HEADER_BYTES else 0
        at = rng.randint(first, len(value)) if len(value) >= first else 0
        length = rng.choice((1, 1, 2, 4, 8, 64))
        change = rng.randrange(6)
        if change == 0 and at < len(value):
            value[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            value[at:at] = rng.randbytes(length)
        elif change == 2:
            del value[at : at + length]
        elif change == 3:
            value[at : at + length] = rng.randbytes(length)
        elif change == 4:
            value[at : at + 1] = _long(rng.choice(_integers(64)))
        else:
            start = rng.randint(first, len(value))
            value[at:at] = value[start : start + length]
    return bytes(value)


def _record_cases(schema: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    plain = _plain(schema)
    yield f"{name}plain", plain
    for field in schema["fields"]:
        for case, value in _cases(field["type"], f"{name}{field['name']}"):
            yield case, {**plain, field["name"]: value}


def _cases(schema: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield odd values of a schema, named."""
    if isinstance(schema, list):
        for number, branch in enumerate(schema):
            for case, value in _cases(branch, name):
                yield case, Branch(number, value)
        for number in (-1, len(schema), _I63 - 1):
            yield f"{name}=branch {number}", Wire(_long(number))
        return
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        yield from _record_cases(schema, f"{name}.{schema['name']}.")
    elif kind in {"array", "map"}:
        yield from _collection_cases(kind, schema["items" if kind == "array" else "values"], name)
    else:
        for number, value in enumerate(_LEAVES[kind]()):
            shown = value if isinstance(value, int | float) else f"{kind} {number}"
            yield f"{name}={shown}", value


def _collection_cases(kind: str, items: Any, name: str) -> Iterator[tuple[str, Any]]:
    plain = _plain(items)

    def of(values: list[Any]) -> Any:
        return values if kind == "array" else {f"key {number}": value for number, value in enumerate(values)}

    for count in (0, 2, 2_000):
        yield f"{name}={count} items", of([plain] * count)
    for case, value in _cases(items, f"{name}[]"):
        yield case, of([plain, value])
    item = _encoded(items, plain)
    for number, wire in enumerate((
        _long(1), _long(_I63 - 1), _long(-1), _long(-_I63), _long(-1) + _long(len(item)) + item + _long(0),
        _long(_I32) + item, b"\xff" * 11, b"",
    )):  # fmt: skip
        yield f"{name}=wire {number}", Wire(wire)
    if kind == "map":
        for number, key in enumerate(_texts()):
            text = key if isinstance(key, Wire) else _bytes(key.encode("utf-8", "surrogatepass"))
            yield f"{name}=map key {number}", Wire(_long(2) + (text + item) * 2 + _long(0))


def _integers(bits: int) -> list[int]:
    bounds = [0, _I32, 2**32, 2**53, _I62, _I63] if bits == 64 else [0, 2**16, 2**20, _I32, 2**32, _I62, _I63]
    found = {sign * bound + by for bound in bounds for sign in (1, -1) for by in (-1, 0, 1)}
    return sorted(number for number in found if -_I63 <= number < _I63)


def _whole_numbers(bits: int) -> list[Any]:
    return [
        *_integers(bits),
        Wire(_long(_I63)),
        Wire(_long(-_I63 - 1)),
        Wire(_long(2**70)),
        Wire(b"\xff" * 11),
        Wire(b""),
    ]


def _texts() -> list[Any]:
    deep = 900
    wire = [
        _bytes(b"\xed\xa0\x80"), _bytes(b"\xff\xfe"), _long(-1), _long(-_I63), _long(_I63 - 1), _long(1_000) + b"short",
    ]  # fmt: skip
    return [
        "", " ", ".", "..", "/", "a/b", "\0", "\n", "\u2028", "\ufeff", "🚀", "e\u0301", "İ", "x" * 128, "x" * 129,
        "x" * 1_024, "x" * 1_025, "x" * 20_000, "_type", "number", "image", "finished", "crashed", "running",
        "0" * 64, "g" * 64, "image/png", "image/png, text/html", "image/png\r\nx: y", "9" * 400, "-", "//system",
        "1", "null", "[]", "{}", "{", '"text"', "NaN", "Infinity", "1e999", '{"a": NaN}', '{"a": -Infinity}',
        '{"a": 1e999}', '{"a": "\\ud800"}', '{"\\ud800": 1}', '{"a": 1, "a": 2}', '{"": 1}', '{"a": "\\u0000"}',
        f'{{"a": {"9" * 5_000}}}', '{"a": 18446744073709551616}', '{"a": 1e-999}', '{"a": -0}', "[" * deep + "]" * deep,
        '{"a":' * deep + "1" + "}" * deep, "[" * 20_000, "[" * 20_000 + "]" * 20_000, '{"_type": "array"}',
        '{"_type": "array", "dtype": [], "shape": {}, "values": NaN}', '{"_type": "text"}',
        '{"_type": "dict", "items": 1}',
        *map(Wire, wire),
    ]  # fmt: skip


def _packed() -> list[Any]:
    columns = [
        struct.pack("<2q", first, second) for first in (-_I63, -1, 0, _I62, _I63 - 1) for second in (0, _I62, -_I63)
    ]
    return [
        b"", b"\0", b"\1\2", b"\0\3", b"\xff\xff", b"\0" * 7, b"\0" * 15, b"\0" * 17, b"\0" * 2**20,
        struct.pack("<2I", 0, 1), struct.pack("<2I", 1, 0), struct.pack("<2I", 0, 2**32 - 1), struct.pack("<I", 2),
        *columns, *(struct.pack("<2d", number, 0.5) for number in _FLOATS),
        Wire(_long(-1)), Wire(_long(_I63 - 1)), Wire(_long(100) + b"short"),
    ]  # fmt: skip


_LEAVES: Final[dict[str, Any]] = {
    "null": lambda: [None],
    "boolean": lambda: [False, True, Wire(b"\2"), Wire(b"\xff")],
    "int": lambda: _whole_numbers(32),
    "long": lambda: _whole_numbers(64),
    "double": lambda: [*_FLOATS, Wire(b"\0\0")],
    "string": _texts,
    "bytes": _packed,
}
_PLAINEST: Final[dict[str, Any]] = {
    "null": None, "boolean": False, "int": 0, "long": 0, "double": 0.5, "string": "text", "bytes": b"", "array": [],
    "map": {},
}  # fmt: skip


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return Branch(0, _plain(schema[0]))
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind != "record":
        return _PLAINEST[kind]
    known = _PLAIN_RECORDS.get(schema["name"], {})
    return {field["name"]: _plain_field(field, known) for field in schema["fields"]}


def _plain_field(field: dict[str, Any], known: dict[str, Any]) -> Any:
    name = field["name"]
    if name in known:
        return known[name]
    kind = field["type"]
    if name in _PLAIN_FIELDS and isinstance(kind, str | dict) and not isinstance(kind, list):
        return _PLAIN_FIELDS[name]
    return field["default"] if "default" in field else _plain(kind)


def _encoded(schema: Any, value: Any) -> bytes:
    if isinstance(value, Wire):
        return bytes(value)
    if isinstance(schema, list):
        chosen = value if isinstance(value, Branch) else Branch(_find_branch(schema, value), value)
        if isinstance(chosen.value, Branch):
            return _encoded(schema, chosen.value)
        return _long(chosen.number) + _encoded(schema[chosen.number], chosen.value)
    kind = schema if isinstance(schema, str) else schema["type"]
    match kind:
        case "null":
            return b""
        case "boolean":
            return bytes([bool(value)])
        case "int" | "long":
            return _long(value)
        case "double":
            return struct.pack("<d", value)
        case "string":
            return _bytes(value.encode("utf-8", "surrogatepass"))
        case "bytes":
            return _bytes(value)
        case "record":
            return b"".join(_encoded(field["type"], value[field["name"]]) for field in schema["fields"])
        case "array":
            items = [_encoded(schema["items"], item) for item in value]
        case _:
            items = [_bytes(key.encode()) + _encoded(schema["values"], item) for key, item in value.items()]
    return (_long(len(items)) + b"".join(items) if items else b"") + _long(0)


def _find_branch(schema: list[Any], value: Any) -> int:
    kinds = {type(None): "null", bool: "boolean", int: "long", float: "double", str: "string", bytes: "bytes"}
    wanted = kinds.get(type(value), "")
    return next(
        number
        for number, branch in enumerate(schema)
        if wanted == (branch if isinstance(branch, str) else branch["type"])
    )


def _bytes(data: bytes) -> bytes:
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """Return a zigzag varint of an integer of any size."""
    left = 2 * number if number >= 0 else -2 * number - 1
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])
