"""Run states in memory: forks that leave what they are made from alone, and a bound in bytes."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_ingestor.flush.state_memory import StateCache, StateMemory
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.layers import Layer
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event, LogEvent, RunUpdated
from stepwell_schemas.rules.identifiers import RunPath

names = st.sampled_from("abcde")
changes = st.lists(st.tuples(names, st.sampled_from(["set", "default", "forget"]), st.integers(0, 3)), max_size=12)


@given(st.dictionaries(names, st.integers()), changes)
def test_a_layer_is_a_copy_until_it_is_settled(known: dict[str, int], drawn: list[tuple[str, str, int]]) -> None:
    before, expected = dict(known), dict(known)
    layer: Layer[str, int] = Layer(known)
    for name, change, number in drawn:
        if change == "set":
            layer[name] = expected[name] = number
        elif change == "default":
            assert layer.setdefault(name, number) == expected.setdefault(name, number)
        else:
            layer.forget(name)
            expected = {key: value for key, value in expected.items() if key != name} | (
                {name: before[name]} if name in before else {}
            )
    assert known == before
    assert (dict(layer), len(layer), list(layer)) == (
        expected,
        len(expected),
        list(dict.fromkeys([*before, *expected])),
    )
    assert all(layer.get(name, -1) == expected.get(name, -1) for name in "abcde")
    layer.settle()
    assert known == expected


def run(number: int) -> RunPath:
    """Return a run's path."""
    return RunPath("e", "p", f"run {number}")


def settled(cache: StateCache, offset: int, events: Iterable[Event]) -> dict[RunPath, RunState]:
    """Flush events; return the states that they began from."""
    messages = [Message(offset + at, 0, None, encode(event)) for at, event in enumerate(events)]
    received, _ = receive_all(Codec(), messages)
    paths = dict.fromkeys(item.path for item in received)
    fresh = {path: RunState() for path in paths}
    for state in fresh.values():
        state.measure()
    before = fresh | cache.known(paths)
    cache.put(plan_flush(received, [], before, offset + len(messages)).states)
    return before


flushes = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=5), max_size=8)


@settings(max_examples=30)
@given(flushes, st.sampled_from([0, 10_000, 60_000, 2**30]))
def test_states_are_counted_as_they_grow_and_never_beyond_the_bound(
    drawn: list[list[tuple[int, int]]], limit: int
) -> None:
    memory = StateMemory(limit)
    caches = [memory.cache(), memory.cache()]
    for number, calls in enumerate(drawn):
        events: list[Event] = [
            RunUpdated(**run(of)._asdict(), config=f'{{"c{keys}": "text"}}')
            if keys % 7 == 0
            else LogEvent(
                **run(of)._asdict(), session=f"s{keys}", sequence=0, data={f"k{key}": 1.0 for key in range(keys)}
            )
            for of, keys in calls
        ]
        settled(caches[number % 2], 100 * number, events)
        assert memory.bytes <= limit
        states = [state for cache in caches for state in cache.known(map(run, range(6))).values()]
        assert memory.bytes == sum(state.bytes for state in states)
        for state in states:
            counted, state.bytes = state.bytes, 0
            state.measure()
            assert state.bytes == counted
    for cache in caches:
        cache.close()
    assert memory.bytes == 0


def test_open_buckets_go_before_whole_states() -> None:
    # Less than four times the open buckets of five runs, and more than their states.
    memory = StateMemory(226_000)
    cache = memory.cache()
    for number in range(5):
        settled(cache, number, [LogEvent(**run(number)._asdict(), data={f"k{key}": 1.0 for key in range(100)})])
    states = cache.known(map(run, range(5)))
    assert list(states) == [run(number) for number in range(5)]
    has_open = [state.series.open_bytes > 0 for state in states.values()]
    assert has_open == sorted(has_open)
    assert 0 < sum(has_open) < 5


def test_a_partition_that_is_given_up_leaves_nothing_behind() -> None:
    memory = StateMemory(2**20)
    cache = memory.cache()
    settled(cache, 0, [LogEvent(**run(0)._asdict(), data={"x": 1.0})])
    cache.close()
    settled(cache, 1, [LogEvent(**run(0)._asdict(), data={"x": 1.0})])
    assert (memory.bytes, cache.known([run(0)])) == (0, {})
