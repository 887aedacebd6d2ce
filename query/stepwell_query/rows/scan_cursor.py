"""How far a scan has come: what it takes to go on without losing a value or sending one again. Pure.

A scan sends all that is stored when it begins: up to a Kafka offset, which it tells. So what was sent is told by places
and offsets. `120@57` says that all steps below 120 were sent, complete to offset 57. A scan that goes on from there
sends the steps from 120 on, and before them what was logged since offset 57 at the steps below: a slower writer's rows,
a value merged into an old row. Where a scan was interrupted that had itself gone on, the text has several such parts,
ascending: `40@91,120@57`. Of two parts, one that lies below an earlier one says nothing new; hence the rule for clients
that broke off behind step s, at an answer complete to offset o: put `{s+1}@{o},` before the cursor that was sent.

A long scan sends value by value, by kind, key and step. Its places are `KIND:KEY:STEP`, the key percent-encoded, as in
`number:train%2Floss:120@57`; `*@57` says that everything was sent, complete to offset 57.
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

_PART: Final = re.compile(r"(?:(?P<kind>\w+):(?P<key>[^:,@]+):)?(?P<step>\d{1,19}|\*)@(?P<offset>-1|\d{1,19})")
_STEP_MAX: Final = 2**63
_KINDS: Final = list(Kind)


class ScanPosition(NamedTuple):
    """A value's place in the order of a scan; a wide scan has steps alone. `ScanPosition()` lies before everything."""

    end: bool = False
    kind: int = 0
    key: str = ""
    step: int = 0


END: Final = ScanPosition(end=True)


@dataclass(frozen=True, slots=True)
class ScanRange:
    """What lies from `low` on and before `high`, of which what was logged after offset `since` is wanted; None: all."""

    low: ScanPosition
    high: ScanPosition
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """What was sent: of each `(place, offset)`, ascending, what lies between the place before and this one."""

    parts: Sequence[tuple[ScanPosition, int]] = ()

    @classmethod
    def parse(cls, text: str, *, long: bool = False) -> Self:
        """Read a cursor. Raises: RequestError."""
        cursor = cls()
        for part in reversed([part for part in text.split(",") if part]):
            position = _parse_part(part.strip(), long=long)
            if position is None:
                shape = "long" if long else "wide"
                remedy = f"send the `next` of an earlier {shape} answer, or {'KIND:KEY:' * long}STEP@OFFSET (see /docs)"
                raise RequestError("cursor", text, f"is no cursor of a {shape} scan", remedy)
            cursor = cursor.moved(*position)
        return cursor

    def moved(self, position: ScanPosition, offset: int) -> Self:
        """Return the cursor of a scan, complete to `offset`, that went on from this one and came to `position`.

        What lies behind it is as it was.
        """
        return type(self)([(position, offset), *((later, known) for later, known in self.parts if later > position)])

    def spans(self, low: ScanPosition, high: ScanPosition) -> Iterator[ScanRange]:
        """Yield what there is to send from `low` on and before `high`, ascending."""
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
    """Return where a kind's values begin in a long scan."""
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
    return (
        (ScanPosition(False, _KINDS.index(Kind(kind)), unquote(match["key"]), step), offset) if kind in _KINDS else None
    )


def _text(position: ScanPosition) -> str:
    if position.end:
        return "*"
    return (
        f"{_KINDS[position.kind]}:{quote(position.key, safe='')}:{position.step}"
        if position.key
        else str(position.step)
    )
