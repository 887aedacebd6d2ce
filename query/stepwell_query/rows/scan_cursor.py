"""Cursors of scans: the progress from which a later scan continues without gaps and without repeated values.

A scan sends everything that is stored when it starts, up to a Kafka offset, which it reports. A cursor therefore
consists of positions and offsets. `120@57` means that all steps below 120 were sent, complete to offset 57. A scan that
continues from there first sends values at steps below 120 that were logged after offset 57, such as rows of a slower
writer or a value merged into an old row, and then the steps from 120.

If a continued scan was itself interrupted, the cursor has several such parts, ascending: `40@91,120@57`. A part whose
position is below that of an earlier part has no effect. Hence the rule for a client whose answer, complete to offset o,
was interrupted after step s: prepend `{s+1}@{o},` to the cursor that it sent.

A long scan sends values by kind, key and step. Its positions are `KIND:KEY:STEP` with the key percent-encoded, as in
`number:train%2Floss:120@57`; `*@57` means that everything was sent, complete to offset 57. If several of the requested
writers logged the same key, values are sent by kind, key, writer and step; positions are then `KIND:KEY:WRITER:STEP`,
and `KIND:KEY:STEP` is that of the unnamed writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from stepwell_query.errors import RequestError
from stepwell_schemas.limits import MAX_OFFSET
from stepwell_schemas.rules.kinds import Kind

_PART: Final = re.compile(
    r"(?:(?P<kind>\w+):(?P<key>[^:,@]+):(?:(?P<writer>[^:,@]*):)?)?(?P<step>\d{1,19}|\*)@(?P<offset>-1|\d{1,19})"
)
_STEP_MAX: Final = 2**63
_KINDS: Final = list(Kind)


class ScanPosition(NamedTuple):
    """A position in the order of a scan; a wide scan uses steps only. `ScanPosition()` is before everything."""

    end: bool = False
    kind: int = 0
    key: str = ""
    writer: str = ""
    step: int = 0


END: Final = ScanPosition(end=True)


@dataclass(frozen=True, slots=True)
class ScanRange:
    """The values in [low, high) that were logged after offset `since`; None: all values."""

    low: ScanPosition
    high: ScanPosition
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Sent values: for each `(position, offset)`, ascending, those between the previous position and this one."""

    parts: Sequence[tuple[ScanPosition, int]] = ()

    @classmethod
    def parse(cls, text: str, *, long: bool = False) -> Self:
        """Parse a cursor. Raises: RequestError."""
        cursor = cls()
        for part in reversed([part for part in text.split(",") if part]):
            position = _parse_part(part.strip(), long=long)
            if position is None:
                shape = "long" if long else "wide"
                remedy = f"send the `next` of an earlier {shape} answer, or {'KIND:KEY:' * long}STEP@OFFSET (see /docs)"
                raise RequestError("cursor", text, f"is not a cursor of a {shape} scan", remedy)
            cursor = cursor.moved(*position)
        return cursor

    def moved(self, position: ScanPosition, offset: int) -> Self:
        """Return the cursor of a scan that continued from this one up to `position`, complete to `offset`.

        The parts after the position are unchanged.
        """
        return type(self)([(position, offset), *((later, known) for later, known in self.parts if later > position)])

    def spans(self, low: ScanPosition, high: ScanPosition) -> Iterator[ScanRange]:
        """Yield the ranges to send within [low, high), ascending."""
        for position, offset in self.parts:
            end = min(position, high)
            if low < end:
                yield ScanRange(low, end, offset)
                low = end
        if low < high:
            yield ScanRange(low, high)

    def __str__(self) -> str:
        return ",".join(f"{_text(position)}@{offset}" for position, offset in self.parts)


def kind_start(kind: Kind) -> ScanPosition:
    """Return the position of the first value of a kind in a long scan."""
    return ScanPosition(kind=_KINDS.index(kind))


def _parse_part(text: str, *, long: bool) -> tuple[ScanPosition, int] | None:
    match = _PART.fullmatch(text)
    if match is None or int(match["offset"]) >= MAX_OFFSET:
        return None
    offset, kind = int(match["offset"]), match["kind"]
    if match["step"] == "*":
        return (END, offset) if long and kind is None else None
    step = int(match["step"])
    if step > _STEP_MAX or (kind is not None) is not long:
        return None
    if not long:
        return ScanPosition(step=step), offset
    if kind not in _KINDS:
        return None
    key, writer = unquote(match["key"]), unquote(match["writer"] or "")
    return ScanPosition(False, _KINDS.index(Kind(kind)), key, writer, step), offset


def _text(position: ScanPosition) -> str:
    if position.end:
        return "*"
    if not position.key:
        return str(position.step)
    names = [position.key, position.writer] if position.writer else [position.key]
    return ":".join([_KINDS[position.kind], *(quote(name, safe="") for name in names), str(position.step)])
