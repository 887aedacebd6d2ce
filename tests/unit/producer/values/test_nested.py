"""Changes within config and summary are sent and read back; copies are plain."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.recording.summary import Summary
from stepwell.session.config import Config

Change = Callable[[Any], object]


def _start() -> dict[str, Any]:
    return {"opt": {"lr": 0.1, "betas": [0.9, 0.99], "inner": {"a": 1}}, "other": 1}


def _set_attribute(owner: Any) -> None:
    owner["opt"].lr = 0.2
    owner.opt.inner.a = 2


def _merge(owner: Any) -> None:
    owner["opt"] |= {"new": (1, 2)}


def _extend(owner: Any) -> None:
    owner["opt"]["betas"] += ({"c": 1},)
    owner["opt"]["betas"][-1]["c"] = 2


def _repeat(owner: Any) -> None:
    owner["opt"]["betas"] *= 2


def _delete(owner: Any) -> None:
    del owner["opt"]["lr"], owner["opt"]["betas"][0], owner.opt.inner.a


def _alias(owner: Any) -> None:
    owner["opt"]["copy"] = owner["opt"]["inner"]
    owner["opt"]["inner"]["a"] = 3
    owner["opt"]["self"] = owner["opt"]


CHANGES: dict[str, tuple[Change, dict[str, Any]]] = {
    "item": (lambda owner: owner["opt"].__setitem__("lr", 0.2), {"lr": 0.2}),
    "attribute": (_set_attribute, {"lr": 0.2, "inner": {"a": 2}}),
    "update": (lambda owner: owner["opt"].update({3: {4}}, lr=1), {"lr": 1, "3": [4]}),
    "merge": (_merge, {"new": [1, 2]}),
    "setdefault": (lambda owner: owner["opt"].setdefault("new", {}).update(b=1), {"new": {"b": 1}}),
    "pop": (lambda owner: owner["opt"]["inner"].pop("a"), {"inner": {}}),
    "clear": (lambda owner: owner["opt"]["inner"].clear(), {"inner": {}}),
    "popitem": (lambda owner: owner["opt"]["inner"].popitem(), {"inner": {}}),
    "append": (lambda owner: owner["opt"]["betas"].append((1,)), {"betas": [0.9, 0.99, [1]]}),
    "extend": (_extend, {"betas": [0.9, 0.99, {"c": 2}]}),
    "repeat": (_repeat, {"betas": [0.9, 0.99, 0.9, 0.99]}),
    "insert": (lambda owner: owner["opt"]["betas"].insert(0, 5), {"betas": [5, 0.9, 0.99]}),
    "slice": (lambda owner: owner["opt"]["betas"].__setitem__(slice(1), [1, 2]), {"betas": [1, 2, 0.99]}),
    "place": (lambda owner: owner["opt"]["betas"].__setitem__(0, {"a"}), {"betas": [["a"], 0.99]}),
    "sort": (lambda owner: owner["opt"]["betas"].sort(reverse=True), {"betas": [0.99, 0.9]}),
    "reverse": (lambda owner: owner["opt"]["betas"].reverse(), {"betas": [0.99, 0.9]}),
    "remove": (lambda owner: owner["opt"]["betas"].remove(0.9), {"betas": [0.99]}),
    "pop item": (lambda owner: owner["opt"]["betas"].pop(), {"betas": [0.9]}),
    "clear list": (lambda owner: owner["opt"]["betas"].clear(), {"betas": []}),
}


def _config(sent: list[Any]) -> Config:
    return Config(lambda values, removed: sent.append(json.loads(json.dumps(values))), _start())


def _summary(sent: list[Any]) -> Summary:
    summary = Summary(dict, lambda values, removed: sent.append(json.loads(json.dumps(values))))
    summary.update(_start())
    sent.clear()
    return summary


@pytest.mark.parametrize("make", [_config, _summary])
@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_is_sent_and_read_back(make: Callable[[list[Any]], Any], name: str) -> None:
    change, expected = CHANGES[name]
    sent: list[Any] = []
    owner = make(sent)
    change(owner)
    assert owner["opt"] == {**_start()["opt"], **expected}
    assert sent[-1] == {"opt": owner["opt"]}


def test_deleted_parts_are_sent() -> None:
    sent: list[Any] = []
    config = _config(sent)
    _delete(config)
    assert sent[-1] == {"opt": {"betas": [0.99], "inner": {}}}
    for missing in (lambda: config.opt.lr, lambda: delattr(config.opt, "lr")):
        with pytest.raises(AttributeError):
            missing()


def test_what_is_set_shares_no_part_with_its_source() -> None:
    sent: list[Any] = []
    config = _config(sent)
    _alias(config)
    assert config.opt["copy"] == {"a": 1}
    assert config.opt["self"]["inner"] == {"a": 3}
    assert sent[-1] == {"opt": config.opt}


def test_a_value_that_was_replaced_changes_nothing() -> None:
    sent: list[Any] = []
    config = _config(sent)
    before = config["opt"]
    config["opt"] = {"lr": 1}
    before["lr"] = 2
    assert config.as_dict() == {"opt": {"lr": 1}, "other": 1}
    assert sent == [{"opt": {"lr": 1}}]


def test_copies_are_plain() -> None:
    config = _config([])
    for copied in (
        copy.deepcopy(config["opt"]),
        copy.copy(config["opt"]),
        config["opt"].copy(),
        pickle.loads(pickle.dumps(config["opt"])),
        config.as_dict()["opt"],
    ):
        assert copied == _start()["opt"]
        assert (type(copied), type(copied["betas"])) == (dict, list)
    assert type(copy.deepcopy(config["opt"]["betas"])) is list
    assert (isinstance(config["opt"], dict), isinstance(config["opt"]["betas"], list)) == (True, True)


def test_a_part_of_a_logged_value_can_be_set() -> None:
    sent: list[Any] = []
    summary = Summary(lambda: {"acc": {"max": 1, "min": 0}}, lambda values, removed: sent.append(values))
    summary["acc"]["max"] = 2
    assert (summary["acc"], sent) == ({"max": 2, "min": 0}, [{"acc": {"max": 2, "min": 0}}])
