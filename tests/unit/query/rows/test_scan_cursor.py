"""Cursors of scans: whatever is cut, and whenever, each value is sent, and none twice."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.errors import RequestError
from stepwell_query.rows.scan_cursor import END, Cursor, ScanPosition, ScanRange, kind_start
from stepwell_schemas.rules.kinds import Kind

# (steps, offset of the value): the log of a run, in its order, and how many values each scan sends before it breaks.
LOGS = st.lists(st.integers(0, 8), max_size=30)
CUTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=6)


def sent_by(cursor: Cursor, log: list[int], stored: int) -> list[tuple[int, int]]:
    """Return the (step, offset) that a scan over the first `stored` values of a log sends, in its order."""
    end = max(log[:stored], default=-1) + 1
    return [
        (step, offset)
        for span in cursor.spans(ScanPosition(), ScanPosition(step=end))
        for step in range(span.low.step, span.high.step)
        for offset, at in enumerate(log[:stored])
        if at == step and (span.since is None or offset > span.since)
    ]


@given(LOGS, CUTS)
def test_scans_that_break_off_anywhere_send_everything_once(log: list[int], cuts: list[tuple[int, int]]) -> None:
    cursor, received = Cursor(), list[tuple[int, int]]()
    for stored, steps in sorted(cuts):
        answer = sent_by(cursor, log, min(stored, len(log)))
        offset = min(stored, len(log)) - 1
        # The client keeps whole steps: those before the one at which the answer broke off.
        behind = ([step for step, _ in answer] + [max(log[: offset + 1], default=-1) + 1])[min(steps, len(answer))]
        received += [(step, at) for step, at in answer if step < behind]
        # As a client does that knows only the rule.
        cursor = Cursor.parse(f"{behind}@{offset},{cursor}")
    received += sent_by(cursor, log, len(log))
    assert sorted(received) == sorted((step, offset) for offset, step in enumerate(log))


SERIES = [(Kind.NUMBER, "a"), (Kind.NUMBER, "b:,@%/*"), (Kind.STRING, "a")]
LONG_LOGS = st.lists(st.tuples(st.sampled_from(SERIES), st.integers(0, 3)), max_size=30)


def long_sent_by(
    cursor: Cursor, log: list[tuple[tuple[Kind, str], int]], stored: int
) -> list[tuple[ScanPosition, int]]:
    """Return the places and offsets that a long scan over the first `stored` values of a log sends, in its order."""
    values = sorted((kind_start(kind)._replace(key=key, step=step), at) for at, ((kind, key), step) in enumerate(log))
    return [
        (place, offset)
        for kind in (Kind.NUMBER, Kind.STRING)
        for span in cursor.spans(kind_start(kind), kind_start(kind)._replace(kind=kind_start(kind).kind + 1))
        for place, offset in values
        if span.low <= place < span.high and offset < stored and (span.since is None or offset > span.since)
    ]


@given(LONG_LOGS, CUTS)
def test_long_scans_that_break_off_anywhere_send_everything_once(
    log: list[tuple[tuple[Kind, str], int]], cuts: list[tuple[int, int]]
) -> None:
    cursor, received = Cursor(), list[tuple[ScanPosition, int]]()
    for stored, values in sorted(cuts):
        answer = long_sent_by(cursor, log, stored)
        offset = min(stored, len(log)) - 1
        got = answer[:values]
        if len(got) == len(answer):
            cursor = cursor.moved(END, offset)
        elif got:
            # The last value's place may hold another one that was not sent; such a client takes the step again.
            got = [(place, at) for place, at in got if place < got[-1][0]]
            last = answer[:values][-1][0]
            part = f"{list(Kind)[last.kind]}:{quote(last.key, safe='')}:{last.step}@{offset}"
            cursor = Cursor.parse(f"{part},{cursor}", long=True)
        received += got
    received += long_sent_by(cursor, log, len(log))
    assert sorted(received) == sorted(long_sent_by(Cursor(), log, len(log)))


@given(LOGS, st.integers(0, 30), st.integers(0, 9), st.integers(0, 9))
def test_a_range_of_steps_is_kept(log: list[int], stored: int, low: int, high: int) -> None:
    cursor = Cursor().moved(ScanPosition(step=4), min(stored, len(log)) - 1)
    spans = list(cursor.spans(ScanPosition(step=low), ScanPosition(step=high + 1)))
    assert [step for span in spans for step in range(span.low.step, span.high.step)] == list(range(low, high + 1))
    assert all(span.since is None or span.high.step <= 4 for span in spans)


@pytest.mark.parametrize(
    ("text", "long", "written"),
    [
        ("", False, ""),
        ("", True, ""),
        ("40@91,120@57", False, "40@91,120@57"),
        ("130@99,40@91,120@57", False, "130@99"),
        ("0@-1", False, "0@-1"),
        (f"{2**63}@1", False, f"{2**63}@1"),
        ("number:train%2Floss:120@57", True, "number:train%2Floss:120@57"),
        ("bool:%C3%BC:0@9,*@8", True, "bool:%C3%BC:0@9,*@8"),
        ("number:a:5@9,string:a:1@8,number:b:7@2", True, "number:a:5@9,string:a:1@8"),
        ("*@9,number:b:7@2", True, "*@9"),
    ],
)
def test_a_cursor_is_its_text(text: str, long: bool, written: str) -> None:
    assert str(Cursor.parse(text, long=long)) == written


def test_spans_are_what_is_missing() -> None:
    def at(step: int) -> ScanPosition:
        return ScanPosition(step=step)

    assert list(Cursor().spans(at(3), at(9))) == [ScanRange(at(3), at(9))]
    assert list(Cursor.parse("40@91,120@57").spans(at(0), at(150))) == [
        ScanRange(at(0), at(40), 91),
        ScanRange(at(40), at(120), 57),
        ScanRange(at(120), at(150)),
    ]


@pytest.mark.parametrize(
    ("text", "long"),
    [(text, False) for text in ["x", "1", "1@", "@1", "-1@5", "1@-2", "1@2;3@4", f"{2**63 + 1}@1", f"1@{2**44}", "*@5"]]
    + [(text, True) for text in ["1@2", "number:a@2", "none:a:1@2", "number::1@2", "number:a:b:c:1@2", "*@x"]]
    + [("number:a:1@2", False)],
)
def test_an_invalid_cursor_is_rejected_with_a_remedy(text: str, long: bool) -> None:
    with pytest.raises(RequestError) as caught:
        Cursor.parse(text, long=long)
    assert (caught.value.field, caught.value.value) == ("cursor", text)
    assert ("KIND:KEY:STEP@OFFSET" in caught.value.remedy) is long
