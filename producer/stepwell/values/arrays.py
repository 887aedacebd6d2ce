"""Arrays and scalars of libraries (numpy, torch, jax, TensorFlow, CuPy, pandas, polars), told by what they can do.

None of the libraries is imported: what has a shape and `tolist()` (or `to_list()`, or `numpy()`) is an array. Writing
imports nothing; reading back makes numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell_schemas.rules.json_values import TYPE, float_json, read_other

_WIDE: Final = frozenset({"float128", "float96", "complex256", "complex192", "longdouble", "clongdouble"})
"""Types of more digits than float64 has; their values travel as decimal text."""


_ADDED: Final = 2
"""What numpy says of types that ml_dtypes (jax) adds to it."""


def is_array(value: Any) -> bool:
    """Whether a value is an array or a scalar of an array library."""
    return hasattr(value, "shape") and any(hasattr(value, name) for name in ("tolist", "to_list", "numpy"))


def host_array(value: Any) -> Any:
    """Return an array without its gradient, as an object with `tolist()`. Raises: whatever its library does.

    One with a mask becomes one of any objects, None where the mask is.
    """
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "to_numpy"):
        # Columns of data frames: their own lists have no common form for missing values.
        return value.to_numpy()
    if hasattr(value, "filled") and hasattr(value, "mask"):
        objects = value.data.astype(object)
        objects[value.mask] = None
        return objects
    return value if hasattr(value, "tolist") else value.numpy()


def dtype_of(value: Any) -> str:
    """Return the name of an array's element type: `float32`, `bfloat16`, `datetime64[ns]`, `<U5`, …"""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return "object"
    if kind_of(value) in {"U", "S"}:
        return str(dtype.str)
    return str(getattr(dtype, "name", None) or str(dtype).rpartition(".")[2])


def kind_of(value: Any) -> str:
    """Return numpy's letter for the kind of an array's elements, "" where the library has none."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def scalar_of(value: Any) -> Any:
    """Return the only element of an array as a plain value: times as text, time spans as seconds.

    Raises:
        Whatever its library does, for instance where the element is on no device that can be read.
    """
    kind = kind_of(value)
    if kind == "M":
        return value.astype(str).item()
    if kind == "m":
        import numpy as np

        return float((value.reshape(()) / np.timedelta64(1, "s")).item())
    item = value.item() if hasattr(value, "item") else value.tolist()
    if hasattr(item, "dtype"):
        return complex(item) if kind == "c" else float(item)
    return item


def array_json(value: Any, ready: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an array as JSON takes it, with its type and shape; `ready` does so for elements that are any object."""
    kind, dtype = kind_of(value), dtype_of(value)
    if kind == "M":
        values = value.astype(str).tolist()
    elif kind == "m":
        values = value.astype("int64").tolist()
    else:
        values = value.tolist()
    leaf = str if kind == "U" else ready if kind == "O" else _leaf(dtype)
    shape = [int(size) for size in value.shape]
    return {TYPE: "array", "dtype": dtype, "shape": shape, "values": _mapped(values, len(shape), leaf)}


def _leaf(dtype: str) -> Callable[[Any], Any]:
    number: Callable[[Any], Any] = str if dtype in _WIDE else _plain_json

    def leaf(value: Any) -> Any:
        is_complex = isinstance(value, complex) or "complex" in str(getattr(value, "dtype", ""))
        return [number(value.real), number(value.imag)] if is_complex else number(value)

    return leaf


def _plain_json(value: Any) -> Any:
    if isinstance(value, float):
        return float_json(value)
    return value.decode() if isinstance(value, bytes) else value


def _mapped(values: Any, depth: int, leaf: Callable[[Any], Any]) -> Any:
    return leaf(values) if depth == 0 else [_mapped(item, depth - 1, leaf) for item in values]


def as_logged(value: Any) -> Any:
    """Return the list or array that a value of parsed JSON stands for; any other value is itself.

    An object that does not say what it is is a reference to media, or of another producer.
    """
    if isinstance(value, list) or (isinstance(value, dict) and TYPE in value):
        return read_other(value, _array)
    return value


def _array(found: Mapping[str, Any]) -> Any:
    try:
        return read_array(found)
    except (ValueError, TypeError, LookupError):
        # Of another producer: it says that it is an array, and is none.
        return dict(found)


def read_array(found: Mapping[str, Any]) -> Any:
    """Return the numpy array that `array_json` wrote.

    A type that numpy does not know (`bfloat16`, unless ml_dtypes is imported) becomes the one that it finds for the
    values.
    """
    import numpy as np

    def read(item: Any) -> Any:
        return read_other(item, _array)

    shape = tuple(found["shape"])
    values = found["values"]
    try:
        dtype = np.dtype(found["dtype"])
    except TypeError:
        return np.array(_mapped(values, len(shape), read)).reshape(shape)
    if dtype.isbuiltin == _ADDED:
        # Such types take no texts for NaN; what they rounded to is exact in what numpy finds.
        return np.array(_mapped(values, len(shape), read)).astype(dtype).reshape(shape)
    if dtype.kind == "c":
        parts = np.array(values, np.longdouble if found["dtype"] in _WIDE else np.float64).reshape(*shape, 2)
        array = np.empty(shape, dtype)
        array.real, array.imag = parts[..., 0], parts[..., 1]
        return array
    if dtype.kind == "O":
        items = list(_flat(values, len(shape)))
        array = np.empty(len(items), object)
        for place, item in enumerate(items):
            array[place] = read(item)
        return array.reshape(shape)
    if dtype.kind == "m":
        return np.array(values, np.int64).astype(dtype).reshape(shape)
    if dtype.kind == "S":
        return np.array(_mapped(values, len(shape), str.encode), dtype).reshape(shape)
    return np.array(values, dtype).reshape(shape)


def _flat(values: Any, depth: int) -> Iterable[Any]:
    if depth == 0:
        yield values
        return
    for item in values:
        yield from _flat(item, depth - 1)
