"""Structures that share parts, or contain themselves, cost no more than their limit, and are named."""

from __future__ import annotations

from collections import UserDict, deque
from types import SimpleNamespace
from typing import Any

import pytest

from stepwell.errors import UnstorableError
from stepwell.recording import cells
from stepwell.recording.cells import build_cells
from stepwell.values import metadata_conversion
from stepwell.values.convert import to_cell, to_json_value
from stepwell.values.metadata import metadata_mapping
from stepwell.values.structure import count_parts
from support.fakes.keeping import Kept


def _cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {"n": 1}
    value["a"] = value["b"] = value
    return value


def _cyclic_list() -> list[Any]:
    value: list[Any] = [1]
    value += [value, value]
    return value


def _shared(depth: int, share: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """Return a structure of `depth` containers with 2^depth leaves."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value, "b": value} if share is dict else [value, value]
    return value


def _clique(size: int) -> list[dict[str, Any]]:
    """Return dicts that all contain one another: the paths through them are more than can be counted."""
    nodes: list[dict[str, Any]] = [{} for _ in range(size)]
    for node in nodes:
        node |= {str(number): other for number, other in enumerate(nodes)}
    return nodes


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound structures to so few leaves that a test reaches them quickly."""
    monkeypatch.setattr(metadata_conversion, "VALUE_MAX_LEAVES", 1_000)
    monkeypatch.setattr(cells, "DICT_MAX_METRICS", 1_000)


def _stored(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    reported: dict[str, str] = {}
    return metadata_mapping(values, lambda path, rule: reported.update({path: rule})), reported


def _logged(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    refused: dict[str, str] = {}
    row = build_cells(values, lambda key, kind, rule: refused.update({key: rule}), Kept())
    return {key: value for key, (_, value) in row.items()}, refused


def test_cycles_of_config_and_summary_are_left_out_and_named() -> None:
    stored, reported = _stored({"d": _cyclic_dict(), "l": _cyclic_list(), "lr": 0.1})
    assert stored == {"d": {"n": 1}, "l": [1, None, None], "lr": 0.1}
    assert reported.keys() == {"d.a", "d.b", "l[1]", "l[2]"}
    assert "'d'" in reported["d.b"]
    cyclic = _cyclic_dict()
    assert _stored(cyclic)[0] == {"n": 1}
    assert _stored(cyclic)[1].keys() == {"a", "b"}


def test_cycles_of_logged_dicts_are_left_out_and_named() -> None:
    stored, refused = _logged({"d": _cyclic_dict(), "l": _cyclic_list(), "loss": 2.0})
    assert stored == {"d.n": 1, "loss": 2.0}
    assert refused.keys() == {"d.a", "d.b", "l"}
    assert "'d'" in refused["d.a"]
    cyclic = _cyclic_dict()
    assert _logged(cyclic)[0] == {"n": 1}
    assert _logged(cyclic)[1].keys() == {"a", "b"}


@pytest.mark.parametrize("large", [_shared(30, dict), _shared(30, list), _clique(20)], ids=["dict", "list", "clique"])
def test_structures_of_too_many_leaves_are_left_out_and_the_rest_is_kept(large: Any) -> None:
    assert _stored({"big": {"in": large}, "lr": 0.1})[0] == {"lr": 0.1}
    assert "big" in _stored({"big": {"in": large}, "lr": 0.1})[1]
    stored, refused = _logged({"big": {"in": large}, "small": {"a": 1}, "loss": 2.0})
    assert stored == {"small.a": 1, "loss": 2.0}
    assert any(key.startswith("big") for key in refused)


def test_shared_parts_of_other_types_are_bounded_too() -> None:
    namespace: Any = 1
    mapping: Any = 1
    queue: Any = 1
    for _ in range(30):
        namespace = SimpleNamespace(a=namespace, b=namespace)
        mapping = UserDict(a=mapping, b=mapping)
        queue = deque([queue, queue])
    assert _stored({"big": namespace, "lr": 0.1})[0] == {"lr": 0.1}
    assert _logged({"big": {"in": mapping}, "loss": 1})[0] == {"loss": 1}
    with pytest.raises(UnstorableError, match="1,000"):
        to_json_value(queue, max_leaves=1_000)


def test_a_long_list_within_a_dict_is_one_metric() -> None:
    stored, refused = _logged({"d": {"list": [0] * 2_000, "n": 1}})
    assert (list(stored), refused) == (["d.list", "d.n"], {})


@pytest.mark.parametrize("share", [dict, list])
def test_the_size_of_shared_parts_is_counted_in_linear_work(share: Any) -> None:
    assert count_parts(_shared(30, share)) == 2**31 - 1
    assert count_parts(_cyclic_dict()) == 4
    assert count_parts(_cyclic_list()) == 4


def test_parts_that_are_shared_are_written_at_each_place() -> None:
    shared = {"lr": [0.1]}
    values = {"a": shared, "b": [shared, shared]}
    assert _stored(values) == (values, {})
    assert _logged({"a": {"x": 1}, "b": {"y": shared, "z": shared}}) == (
        {"a.x": 1, "b.y.lr": "[0.1]", "b.z.lr": "[0.1]"},
        {},
    )


def test_values_nested_deeper_than_json_may_be_are_named() -> None:
    deep: Any = 1
    for _ in range(2_000):
        deep = {"a": deep}
    assert _stored({"deep": deep, "lr": 0.1})[0]["lr"] == 0.1
    assert len(_stored({"deep": deep})[1]) == 1
    assert _logged({"deep": deep, "loss": 1})[0] == {"loss": 1}
    with pytest.raises(UnstorableError):
        to_cell([deep])
