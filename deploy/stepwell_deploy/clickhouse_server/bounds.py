"""Resource limits for clients of the ClickHouse port, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stepwell_query.slots import SlotLimits
from stepwell_schemas.limits import KIB, MIB


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bytes of a request's body as it was sent, and after it was decompressed."""

    sent: int
    content: int


_GUESTS: Final = SlotLimits(running=8, running_per_client=6, waiting=64, waiting_per_client=48, wait_seconds=10.0)
_WRITERS: Final = SlotLimits(running=16, running_per_client=16, waiting=256, waiting_per_client=256, wait_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds of the port.

    Attributes:
        head_bytes: the request line and the headers; clients write long parameters into the URL.
        head_seconds: for these to arrive, from the connection or their first byte on.
        idle_seconds: a connection without a request, as ClickHouse's server has it.
        body_seconds: for a whole body to arrive; part_seconds: without a byte of it.
        send_seconds: until a client takes the next part of an answer.
        connections: open at the same time; connections_per_client: of one address.
        guest_body: a statement and its parameters. writer_body: an insert of a whole flush, and test data.
        guests, writers: their slots, which are separate, so that many guests never make a writer wait.
    """

    head_bytes: int = 128 * KIB
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    body_seconds: float = 300.0
    part_seconds: float = 10.0
    send_seconds: float = 30.0
    connections: int = 512
    connections_per_client: int = 384
    guest_body: BodyBounds = BodyBounds(MIB, MIB)
    writer_body: BodyBounds = BodyBounds(256 * MIB, 1024 * MIB)
    guests: SlotLimits = _GUESTS
    writers: SlotLimits = _WRITERS
