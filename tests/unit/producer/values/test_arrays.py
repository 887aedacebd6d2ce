"""Arrays and scalars of libraries: their stored form, and the values read back.

numpy, pandas, jax and ml_dtypes are real; torch is `support.torch_like`; of TensorFlow there is what is touched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

import stepwell
from stepwell.values.arrays import restore_value
from stepwell.values.convert import to_cell
from support.fakes.torch_like import Tensor

_TEXT_ARRAY = np.array([["NaN"], ["é"]], "U3")


class _EagerTensor:
    """A tensor like TensorFlow's: it converts to numpy."""

    def __init__(self, values: Any) -> None:
        self._array = np.array(values, np.float32)
        self.shape = self._array.shape

    def numpy(self) -> Any:
        return self._array[()]


def read(value: Any) -> Any:
    """Return a value after a round trip through JSON."""
    kind, text = to_cell(value)
    assert kind == "other"
    return restore_value(json.loads(text))


@given(
    npst.arrays(
        npst.scalar_dtypes().filter(lambda dtype: dtype.kind not in "SU" and dtype.isnative),
        npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3).filter(lambda shape: np.prod(shape) != 1),
    )
)
def test_an_array_comes_back_with_its_type_and_shape(array: np.ndarray[Any, Any]) -> None:
    found = read(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    if array.dtype.kind == "f":
        # The sign of a NaN is part of its payload, which JSON does not have.
        there = ~np.isnan(array)
        np.testing.assert_array_equal(np.signbit(found)[there], np.signbit(array)[there])


@pytest.mark.parametrize(
    "array",
    [
        _TEXT_ARRAY,
        np.array([b"a", "é".encode()]),
        np.array([{"_type": 1}, "NaN", float("inf"), [1, [2]], None], object),
        np.array([np.longdouble("0.1"), np.longdouble(2) ** -16000]),
        np.array([np.clongdouble(1 + 2j)] * 2),
        np.array([1, 2], ">i4"),
        np.zeros((2, 0)),
        np.array([[1, None], [2, 3]], object),
    ],
    ids=lambda array: str(array.dtype),
)
def test_rarer_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    found = read(array)
    assert (found.dtype, found.shape) == (array.dtype.newbyteorder("="), array.shape)
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (Tensor(1.5, np.float32, requires_grad=True), ("number", 1.5)),
        (Tensor([[True]]), ("bool", True)),
        (Tensor(2**40), ("number", 2**40)),
        (Tensor([0.1], np.float16, device="cuda:0"), ("number", 0.0999755859375)),
        (Tensor([0.1], ml_dtypes.bfloat16, device="cuda:0", requires_grad=True), ("number", 0.10009765625)),
        (Tensor(1 + 2j), ("other", "[1.0, 2.0]")),
        (jnp.float32(0.5), ("number", 0.5)),
        (jnp.array([[3]]), ("number", 3)),
        (jnp.array(True), ("bool", True)),
        (jnp.bfloat16(0.1), ("number", 0.10009765625)),
        (jnp.float8_e4m3fn(1.5), ("number", 1.5)),
        (jnp.int4(-3), ("number", -3)),
        (jnp.complex64(1 + 2j), ("other", "[1.0, 2.0]")),
        (jax.grad(lambda x: x * x)(3.0), ("number", 6.0)),
        (ml_dtypes.bfloat16(0.1), ("number", 0.10009765625)),
        (_EagerTensor(0.5), ("number", 0.5)),
        (_EagerTensor([[2]]), ("number", 2.0)),
        (np.longdouble("0.1"), ("number", 0.1)),
        (np.clongdouble(1 + 2j), ("other", "[1.0, 2.0]")),
        (np.datetime64("2026-01-02T03:04:05.123456789"), ("string", "2026-01-02T03:04:05.123456789")),
        (np.array(["NaT"], "datetime64[s]"), ("string", "NaT")),
        (np.timedelta64(1500, "ms"), ("number", 1.5)),
        (np.str_("x"), ("string", "x")),
        (np.array(["x"]), ("string", "x")),
        (np.float16(0.1), ("number", 0.0999755859375)),
        (np.uint64(2**64 - 1), ("number", 2**64 - 1)),
        (pd.Timestamp("2026-01-02"), ("string", "2026-01-02T00:00:00")),
        (pd.Series([3]), ("number", 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_scalar_is_its_one_value(value: Any, cell: tuple[str, Any]) -> None:
    found = to_cell(value)
    assert (found, type(found[1])) == (cell, type(cell[1]))


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (Tensor([[1.0, 2.0], [3.0, float("nan")]], ml_dtypes.bfloat16, requires_grad=True), "bfloat16", [2, 2]),
        (Tensor([1, 2], np.int32, device="cuda:0"), "int32", [2]),
        (jnp.arange(4, dtype=jnp.float32).reshape(2, 2), "float32", [2, 2]),
        (jnp.array([1, 2], jnp.bfloat16), "bfloat16", [2]),
        (jnp.zeros((0, 2)), "float32", [0, 2]),
        (_EagerTensor([1, 2]), "float32", [2]),
        (pd.Series([1.5, 2.5]), "float64", [2]),
        (pd.Series([pd.Timestamp("2026-01-02"), pd.NaT]), "datetime64", [2]),
    ],
    ids=["torch", "torch on a GPU", "jax", "jax bfloat16", "jax empty", "tensorflow", "pandas", "pandas times"],
)
def test_arrays_of_libraries_are_recognized_by_duck_typing(value: Any, dtype: str, shape: list[int]) -> None:
    text = to_cell(value)[1]
    document = json.loads(text)
    assert document["dtype"].startswith(dtype)
    assert document["shape"] == shape
    assert restore_value(document).shape == tuple(shape)


def test_what_a_mask_hides_is_none() -> None:
    found = read(np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]]))
    assert (found.dtype, found.tolist()) == (np.dtype(object), [[1, None], [3, 4]])
    assert to_cell(np.ma.masked_array([1], [True])) == ("other", "null")
    assert to_cell(np.ma.masked_array([1.5], [False])) == ("number", 1.5)


def test_an_object_that_is_no_array_after_all_is_left_as_it_is() -> None:
    for found in (
        {"_type": "array", "dtype": "float64", "shape": [3], "values": [1.0]},
        {"_type": "array", "dtype": "int8", "shape": [1], "values": ["x"]},
        {"_type": "array", "dtype": "int8"},
        {"_type": "other", "value": [1]},
        {"sha256": "NaN"},
    ):
        assert restore_value(found) == found


def test_unreadable_values_are_reported_once_and_counted_and_the_rest_is_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = {
        "meta": Tensor(1.0, device="meta"),
        "many": Tensor([1.0, 2.0], device="meta"),
        "key": jax.random.key(0),
        "fields": np.zeros(2, [("a", "i4")]),
        "frame": pd.DataFrame({"a": [1]}),
        "lone": "\ud800",
    }
    with stepwell.init(project="p", mode="offline", dir=tmp_path) as run:
        capfd.readouterr()
        for _ in range(3):
            run.log({**bad, "fine": 1})
        lines = capfd.readouterr().err.splitlines()
        receipt = run.finish(quiet=True)
    assert (receipt.logged, receipt.points, receipt.rejected) == (3, 3, 3 * len(bad))
    assert len(lines) == len(bad)
    for key, value in bad.items():
        assert len([line for line in lines if repr(key) in line and type(value).__name__ in line]) == 1


def test_what_is_traced_has_no_value_yet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings={"quiet": True}) as run:

        @jax.jit
        def step(x: Any) -> Any:
            run.log({"x": x, "fine": 1})
            return x

        step(1.0)
        assert dict(run.summary) == {"fine": 1}
    (line,) = capfd.readouterr().err.splitlines()
    assert ("Tracer)" in line, "ConcretizationTypeError: Abstract tracer value" in line) == (True, True)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_types_of_ml_dtypes_come_back_where_it_is_there(name: str) -> None:
    values = [1, 2, 3] if "int" in name else [0.1, -0.0, float("nan")]
    array = np.array(values, np.float32).astype(np.dtype(getattr(ml_dtypes, name)))
    found = read(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
