"""Read-only views: dicts and lists for readers, errors for changes, and plain copies."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from stepwell.api.views import ReadOnlyDict, ReadOnlyList
from stepwell.errors import UnsupportedError

PLAIN: dict[str, Any] = {"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, [1, 2]]}, "layers": [{"size": 1}]}


@pytest.fixture
def view() -> ReadOnlyDict:
    return ReadOnlyDict(copy.deepcopy(PLAIN), "the way")


def _add(value: Any) -> None:
    value += [1]


def _merge(value: Any) -> None:
    value |= {"a": 1}


DICT_CHANGES: list[Callable[[Any], Any]] = [
    lambda one: one.__setitem__("a", 1),
    lambda one: one.__delitem__("lr"),
    lambda one: one.update(),
    lambda one: one.update(a=1),
    lambda one: one.pop("lr"),
    lambda one: one.pop("none"),
    lambda one: one.popitem(),
    lambda one: one.clear(),
    lambda one: one.setdefault("a", 1),
    lambda one: setattr(one, "a", 1),
    lambda one: delattr(one, "a"),
    _merge,
    lambda one: one["opt"].update(name="sgd"),
    lambda one: one.get("opt").clear(),
    lambda one: one["opt"]["betas"][1].append(3),
    lambda one: dict(one.items())["opt"].clear(),
    lambda one: next(iter(one["layers"])).clear(),
    lambda one: next(reversed(one["layers"])).clear(),
    lambda one: list(one.values())[1].clear(),
]

LIST_CHANGES: list[Callable[[Any], Any]] = [
    lambda one: one.append(1),
    lambda one: one.extend([1]),
    lambda one: one.insert(0, 1),
    lambda one: one.remove(1),
    lambda one: one.pop(),
    lambda one: one.clear(),
    lambda one: one.sort(),
    lambda one: one.reverse(),
    lambda one: one.__setitem__(0, 1),
    lambda one: one.__setitem__(slice(1), []),
    lambda one: one.__delitem__(0),
    lambda one: one.__imul__(2),
    lambda one: setattr(one, "a", 1),
    _add,
]


@pytest.mark.parametrize("change", DICT_CHANGES)
def test_a_change_of_a_dict_raises_and_changes_nothing(view: ReadOnlyDict, change: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="the way"):
        change(view)
    assert view == PLAIN


@pytest.mark.parametrize("change", LIST_CHANGES)
def test_a_change_of_a_list_raises_and_changes_nothing(change: Callable[[Any], Any]) -> None:
    view = ReadOnlyList([1, 2], "the way")
    with pytest.raises(UnsupportedError, match="the way"):
        change(view)
    assert view == [1, 2]


def test_readers_see_dicts_and_lists(view: ReadOnlyDict) -> None:
    assert isinstance(view, dict)
    assert isinstance(view, Mapping)
    assert isinstance(view["layers"], Sequence)
    assert view == PLAIN
    assert view["opt"]["betas"] == [0.9, [1, 2]]
    assert json.loads(json.dumps(view)) == PLAIN
    assert json.loads(json.dumps(view, indent=1, sort_keys=True)) == PLAIN
    assert repr(view) == repr(PLAIN)
    assert {**view} == view | {} == PLAIN
    assert view.get("none", 3) == view.pop("none", 3) == 3
    assert view.setdefault("lr", 3) == view.get("lr") == 0.1
    assert list(view.items()) == list(PLAIN.items())


@pytest.mark.parametrize(
    "copied",
    [dict, copy.copy, copy.deepcopy, dict.copy, lambda one: {**one}, lambda one: pickle.loads(pickle.dumps(one))],
)
def test_copies_are_plain_and_belong_to_the_script(view: ReadOnlyDict, copied: Callable[[Any], Any]) -> None:
    own = copied(view)
    assert type(own) is dict
    assert type(own["opt"]) is dict
    assert type(own["opt"]["betas"]) is list
    own["opt"] = 1
    assert view == PLAIN


def test_copies_of_lists_are_plain(view: ReadOnlyDict) -> None:
    layers = view["layers"]
    assert [type(own) for own in (copy.copy(layers), copy.deepcopy(layers), layers[:], list(layers))] == [list] * 4
    assert type(copy.deepcopy(layers)[0]) is type(layers[:][0]) is dict
