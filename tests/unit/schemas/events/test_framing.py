"""Bodies of several events: split again into the same ones, or refused with the event at which they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import FramingError
from stepwell_schemas.events.framing import join_events, split_events

PAYLOADS = st.lists(st.binary(max_size=300), min_size=1, max_size=20)


@given(PAYLOADS)
def test_a_body_is_split_into_the_events_that_were_joined(payloads: list[bytes]) -> None:
    assert split_events(join_events(payloads), len(payloads)) == payloads


@given(PAYLOADS, st.data())
def test_a_cut_body_is_refused_unless_it_ends_after_an_event(payloads: list[bytes], data: st.DataObject) -> None:
    body = join_events(payloads)
    cut = data.draw(st.integers(0, len(body) - 1))
    ends = [len(join_events(payloads[:count])) for count in range(1, len(payloads))]
    if cut in ends:
        assert split_events(body[:cut], len(payloads)) == payloads[: ends.index(cut) + 1]
        return
    with pytest.raises(FramingError) as caught:
        split_events(body[:cut], len(payloads))
    assert caught.value.index == sum(end <= cut for end in ends)


def test_a_body_has_at_most_a_number_of_events() -> None:
    with pytest.raises(FramingError, match="event 2: a request has at most 2 events"):
        split_events(join_events([b"", b"", b""]), 2)
