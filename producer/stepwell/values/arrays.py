"""Arrays and scalars of array libraries (numpy, torch, jax, TensorFlow, CuPy, pandas, polars), by duck typing.

An object with a shape and `tolist()` (or `to_list()`, or `numpy()`) is an array. Writing imports none of the
libraries; reading back returns numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell_schemas.rules.json_values import TYPE, float_json, read_other

_WIDE: Final = frozenset({"float128", "float96", "complex256", "complex192", "longdouble", "clongdouble"})
"""Types with more precision than float64; their values are stored as decimal text."""


ADDED: Final = 2
"""`dtype.isbuiltin` of types that a library registers with numpy, such as those of ml_dtypes (jax)."""


def is_array(value: Any) -> bool:
    """Return whether a value is an array or a scalar of an array library."""
    if isinstance(value, type):
        # The class of a scalar has its attributes.
        return False
    return hasattr(value, "shape") and any(hasattr(value, name) for name in ("tolist", "to_list", "numpy"))


def host_array(value: Any) -> Any:
    """Return an array without its gradient, as an object with `tolist()`. Raises: any error of its library.

    A masked array becomes an object array with None for masked elements.
    """
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "to_numpy"):
        # Columns of data frames: the libraries' lists represent missing values differently.
        return value.to_numpy()
    if hasattr(value, "filled") and hasattr(value, "mask"):
        objects = value.data.astype(object)
        objects[value.mask] = None
        return objects
    return value if hasattr(value, "tolist") else value.numpy()


def dtype_name(value: Any) -> str:
    """Return the name of an array's element type: `float32`, `bfloat16`, `datetime64[ns]`, `<U5`, …"""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return "object"
    if dtype_kind(value) in {"U", "S"}:
        return str(dtype.str)
    return str(getattr(dtype, "name", None) or str(dtype).rpartition(".")[2])


def dtype_kind(value: Any) -> str:
    """Return numpy's kind letter of an array's elements, "" if the library has none."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def to_scalar(value: Any) -> Any:
    """Return the only element of an array as a plain value: times as text, time spans as seconds.

    Raises:
        Any error of its library, for instance if the element's device can't be read.
    """
    kind = dtype_kind(value)
    if kind == "M":
        return value.astype(str).item()
    if kind == "m":
        import numpy as np

        return float((value.reshape(()) / np.timedelta64(1, "s")).item())
    item = value.item() if hasattr(value, "item") else value.tolist()
    if hasattr(item, "dtype"):
        return complex(item) if kind == "c" else float(item)
    return item


def array_to_json(value: Any, ready: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an array as a JSON object with its type and shape; `ready` converts elements of object arrays."""
    kind, dtype = dtype_kind(value), dtype_name(value)
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


def restore_value(value: Any) -> Any:
    """Return the list or array that a parsed JSON value describes; other values are returned unchanged.

    An object without a type mark is a reference to media, or comes from another producer.
    """
    if isinstance(value, list) or (isinstance(value, dict) and TYPE in value):
        return read_other(value, _array)
    return value


def _array(document: Mapping[str, Any]) -> Any:
    try:
        return read_array(document)
    except (ValueError, TypeError, LookupError):
        # From another producer: marked as an array, but not a valid one.
        return dict(document)


def read_array(document: Mapping[str, Any]) -> Any:
    """Return the numpy array that `array_to_json` wrote.

    If numpy does not know the type (`bfloat16`, unless ml_dtypes is imported), it infers one from the values.
    """
    import numpy as np

    def read(item: Any) -> Any:
        return read_other(item, _array)

    shape = tuple(document["shape"])
    values = document["values"]
    try:
        dtype = np.dtype(document["dtype"])
    except TypeError:
        return np.array(_mapped(values, len(shape), read)).reshape(shape)
    if dtype.isbuiltin == ADDED:
        # Such types can't parse the text NaN; the type that numpy infers holds their values exactly.
        return np.array(_mapped(values, len(shape), read)).astype(dtype).reshape(shape)
    if dtype.kind == "c":
        parts = np.array(values, np.longdouble if document["dtype"] in _WIDE else np.float64).reshape(*shape, 2)
        array = np.empty(shape, dtype)
        array.real, array.imag = parts[..., 0], parts[..., 1]
        return array
    if dtype.kind == "O":
        items = list(_flat(values, len(shape)))
        array = np.empty(len(items), object)
        for index, item in enumerate(items):
            array[index] = read(item)
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
