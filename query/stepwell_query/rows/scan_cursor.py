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


class Place(NamedTuple):
    """A value's place in the order of a scan; a wide scan has steps alone. `Place()` lies before everything."""

    end: bool = False
    kind: int = 0
    key: str = ""
    step: int = 0


END: Final = Place(end=True)


@dataclass(frozen=True, slots=True)
class Span:
    """What lies from `low` on and before `high`, of which what was logged after offset `since` is wanted; None: all."""

    low: Place
    high: Place
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """What was sent: of each `(place, offset)`, ascending, what lies between the place before and this one."""

    parts: Sequence[tuple[Place, int]] = ()

    @classmethod
    def parse(cls, text: str, *, long: bool = False) -> Self:
        """Read a cursor. Raises: RequestError."""
        cursor = cls()
        for part in reversed([part for part in text.split(",") if part]):
            place = _place(part.strip(), long=long)
            if place is None:
                shape = "long" if long else "wide"
                remedy = f"send the `next` of an earlier {shape} answer, or {'KIND:KEY:' * long}STEP@OFFSET (see /docs)"
                raise RequestError("cursor", text, f"is no cursor of a {shape} scan", remedy)
            cursor = cursor.moved(*place)
        return cursor

    def moved(self, place: Place, offset: int) -> Self:
        """Return the cursor of a scan, complete to `offset`, that went on from this one and came to `place`.

        What lies behind it is as it was.
        """
        return type(self)([(place, offset), *((later, known) for later, known in self.parts if later > place)])

    def spans(self, low: Place, high: Place) -> Iterator[Span]:
        """Yield what there is to send from `low` on and before `high`, ascending."""
        for place, offset in self.parts:
            end = min(place, high)
            if low < end:
                yield Span(low, end, offset)
                low = end
        if low < high:
            yield Span(low, high)

    def __str__(self) -> str:
        return ",".join(f"{_text(place)}@{offset}" for place, offset in self.parts)


def kind_place(kind: Kind) -> Place:
    """Return where a kind's values begin in a long scan."""
    return Place(kind=_KINDS.index(kind))


def _place(text: str, *, long: bool) -> tuple[Place, int] | None:
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
        return Place(step=step), offset
    return (Place(False, _KINDS.index(Kind(kind)), unquote(match["key"]), step), offset) if kind in _KINDS else None


def _text(place: Place) -> str:
    if place.end:
        return "*"
    return f"{_KINDS[place.kind]}:{quote(place.key, safe='')}:{place.step}" if place.key else str(place.step)
