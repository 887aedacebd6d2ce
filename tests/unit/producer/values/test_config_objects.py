"""Configuration objects of the standard library and of others become nested dicts, with names that stay the same."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import math
import operator
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import attrs
import jax.numpy as jnp
import ml_collections
import numpy as np
import pandas as pd
import pydantic
import pytest
from absl import flags
from omegaconf import MISSING, DictConfig, OmegaConf

from stepwell.session.config import Config, as_mapping
from stepwell.values.metadata import metadata_mapping, metadata_value
from stepwell_schemas.limits import TEXT_MAX_BYTES
from support.fakes import torch_like


class _Phase(Enum):
    TRAIN = auto()
    TEST = object()


@dataclasses.dataclass
class _Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclasses.dataclass
class _Training:
    shape: tuple[int, ...] = (2, 3)
    opt: _Optimizer = dataclasses.field(default_factory=_Optimizer)
    never_set: int = dataclasses.field(init=False)


@attrs.define
class _Model:
    width: int = 8
    opt: _Optimizer = attrs.Factory(_Optimizer)


class _Limits(NamedTuple):
    low: int
    high: int


class _Server(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    port: int = 80
    token: pydantic.SecretStr = pydantic.SecretStr("secret")
    training: _Optimizer = pydantic.Field(default_factory=_Optimizer)


class _WithToken:
    """As the arguments and configs of transformers."""

    token = "secret"

    def to_dict(self) -> dict[str, Any]:
        return {"token": "<TOKEN>", "layers": [1, 2]}


class _Bare:
    pass


def _function(*values: Any, **more: Any) -> None:
    pass


OPTIMIZER = {"lr": 0.1, "betas": [0.9, 0.99]}


def _converted(value: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Return what a config stores of a value, and what is reported."""
    reported: list[tuple[str, str]] = []
    ready = metadata_mapping({"x": value}, lambda path, rule: reported.append((path, rule)))
    return ready.get("x", "left out"), reported


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (_Optimizer(), OPTIMIZER),
        (argparse.Namespace(opt=_Optimizer(), name="n"), {"opt": OPTIMIZER, "name": "n"}),
        (SimpleNamespace(a=[SimpleNamespace(b=1)]), {"a": [{"b": 1}]}),
        (_Model(), {"width": 8, "opt": OPTIMIZER}),
        (_Server(extra={1: 2}), {"port": 80, "token": "**********", "training": OPTIMIZER, "extra": {"1": 2}}),
        (_WithToken(), {"token": "<TOKEN>", "layers": [1, 2]}),
        (_Limits(1, 2), {"low": 1, "high": 2}),
        (ml_collections.ConfigDict({"opt": {"lr": 0.1}}), {"opt": {"lr": 0.1}}),
        (ml_collections.FrozenConfigDict({"opt": {"lr": (1, 2)}}), {"opt": {"lr": [1, 2]}}),
        (OmegaConf.structured(_Optimizer), OPTIMIZER),
        (OmegaConf.create({"a": 1, "b": ["${a}", {"c": "${a}"}]}), {"a": 1, "b": [1, {"c": 1}]}),
        (OmegaConf.create({"a": "${oc.env:NO_SUCH_VARIABLE}"}), {"a": "${oc.env:NO_SUCH_VARIABLE}"}),
        (functools.partial(_function, 1, b=_Limits(1, 2)), {
            "func": f"{__name__}._function", "args": [1], "keywords": {"b": {"low": 1, "high": 2}},
        }),
        ({_Phase.TRAIN: 1, _Phase.TEST: 2, 3: 4, None: 5}, {"TRAIN": 1, "TEST": 2, "3": 4, "None": 5}),
        (collections.OrderedDict(a=collections.ChainMap({"b": 1})), {"a": {"b": 1}}),
    ],
)  # fmt: skip
def test_members_of_configuration_objects_are_reached_by_paths(value: Any, stored: Any) -> None:
    assert _converted(value) == (stored, [])


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (_Phase.TRAIN, 1),
        (_Phase.TEST, "TEST"),
        (_function, f"{__name__}._function"),
        (functools.cache(_function), f"{__name__}._function"),
        (_Optimizer, f"{__name__}._Optimizer"),
        (_Optimizer().__eq__, f"{__name__}._Optimizer.__eq__"),
        ([].append, "list.append"),
        (len, "len"),
        (int, "int"),
        (math.sqrt, "math.sqrt"),
        (operator, "operator"),
        (list[int], "list[int]"),
        (_Bare(), f"{__name__}._Bare"),
        (re.compile("a+"), "re.compile('a+')"),
        (np.dtype("float32"), "float32"),
        (np.float32, "numpy.float32"),
        (jnp.bfloat16, "jax.numpy.bfloat16"),
        (torch_like.DType("bfloat16"), "torch.bfloat16"),
        (torch_like.Device("cuda:0"), "cuda:0"),
        (Path("a/b"), "a/b"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("0.5"), 0.5),
        (Fraction(3, 1), 3),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        (range(3), [0, 1, 2]),
        (collections.deque([1, 2]), [1, 2]),
        (collections.UserList([1]), [1]),
        ({"a": 1}.keys(), ["a"]),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.float32(0.5), 0.5),
        (b"text", "text"),
        (1j, [0.0, 1.0]),
        ({"f": SimpleNamespace(inner=_Bare())}, {"f": {"inner": f"{__name__}._Bare"}}),
    ],
)
def test_other_values_have_texts_that_every_process_gives_them(value: Any, stored: Any) -> None:
    assert _converted(value) == (stored, [])


def test_no_text_has_an_address() -> None:
    odd = [iter([1]), lambda: 1, (number for number in range(3)), {"f": slice(_Bare())}, [_Bare().__repr__]]
    assert "0x" not in str(metadata_value(odd))


def test_members_without_a_value_are_left_out_and_named() -> None:
    missing = OmegaConf.create({"model": {"path": MISSING, "layers": [1, MISSING]}, "lr": 0.1})
    assert _converted(missing)[0] == {"model": {"layers": [1, None]}, "lr": 0.1}
    assert [path for path, _ in _converted(missing)[1]] == ["x.model.path", "x.model.layers[1]"]
    placeholder = ml_collections.ConfigDict({"a": 1, "b": ml_collections.config_dict.required_placeholder(int)})
    assert _converted(placeholder)[0] == {"a": 1}
    assert [path for path, _ in _converted(placeholder)[1]] == ["x.b"]
    assert _converted(_Training())[0] == {"shape": [2, 3], "opt": OPTIMIZER}
    assert [path for path, _ in _converted(_Training())[1]] == ["x.never_set"]


def test_flags_are_their_values() -> None:
    values = flags.FlagValues()  # type: ignore[no-untyped-call]
    flags.DEFINE_float("lr", 0.1, "", flag_values=values)
    flags.DEFINE_enum_class("phase", _Phase.TRAIN, _Phase, "", flag_values=values)
    flags.DEFINE_string("unset", None, "", flag_values=values)
    assert metadata_mapping(as_mapping(values)) == {"lr": 0.1, "phase": 1, "unset": None}


def test_a_configuration_object_is_a_config() -> None:
    sent: list[dict[str, Any]] = []
    config = Config(lambda values, removed: sent.append(values), {})
    config.update(DictConfig({"opt": {"lr": 0.1}, "path": MISSING}))
    config.update(ml_collections.ConfigDict({"width": 8}))
    config.update(_Limits(1, 2))
    config.setdefaults(argparse.Namespace(low=9, seed=3))
    assert config.as_dict() == {"opt": {"lr": 0.1}, "width": 8, "low": 1, "high": 2, "seed": 3}
    assert config.opt.lr == 0.1
    assert sent == [{"opt": {"lr": 0.1}}, {"width": 8}, {"low": 1, "high": 2}, {"seed": 3}]


def test_large_arrays_and_data_frames_are_reported_and_the_rest_is_kept() -> None:
    fits, large = np.zeros(TEXT_MAX_BYTES // 8), np.zeros((1_200, 1_000))
    frame = pd.DataFrame({"a": [1, 2]})
    stored, reported = _converted({"fits": fits, "large": large, "list": large.tolist(), "frame": frame, "lr": 0.1})
    assert stored == "left out"
    stored, reported = _converted({"fits": fits, "large": large, "frame": frame, "lr": 0.1})
    assert stored == {"fits": fits.tolist(), "lr": 0.1}
    assert [path for path, _ in reported] == ["x.large", "x.frame"]


def test_two_keys_of_one_text_are_reported() -> None:
    assert _converted({1: "int", "1": "text"})[0] == {"1": "text"}
    assert [path for path, _ in _converted({1: "int", "1": "text"})[1]] == ["x.1"]


def test_not_finite_numbers_are_read_as_numbers() -> None:
    config = Config(lambda values, removed: None, {"clip": math.inf, "nan": np.float32("nan"), "text": "NaN"})
    assert (config.clip, config.text) == (math.inf, "NaN")
    assert math.isnan(config.nan)
