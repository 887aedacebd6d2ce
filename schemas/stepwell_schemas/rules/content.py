"""The content of logged rows as a sum, by which a session's receipt compares what was logged with what is stored.

Each value contributes (value + C) × row weight × key weight modulo 2^64, and each row its own weight. A row's weight
depends on its record number and step, a key's weight on its folded spelling and kind. So a sum does not depend on the
order of rows, on the division into batches, or on what is sent twice, as long as each record is added once. Sums of
different rows are equal by chance only (see docs/decisions/0016). Whoever wants to can construct equal ones.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, as_float, exact_text
from stepwell_schemas.rules.steps import NO_STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    UInt64s = NDArray[np.uint64]

MASK: Final = 2**64 - 1
_SIGN: Final = 2**63
_CACHED_KEYS: Final = 16_384
_FEW_VALUES: Final = 16
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB
_ROW: Final = 0xD6E8FEB86659FD93
_CELL: Final = 0xA0761D6478BD642F
"""Added to each value, so that a value of 0 that is missing makes a difference."""

_EXACT: Final = 0xE7037ED1A0B428DB


def row_weights(first: int, rows: int, steps: NDArray[np.int64] | None) -> UInt64s:
    """Return the weights of the rows with the record numbers from `first` on; `steps` is None if they are unknown."""
    if rows == 1:
        return np.array([row_weight(first, NO_STEP if steps is None else int(steps[0]))], np.uint64)
    # Modulo 2^64: a forged number may lie at the end of the range.
    numbers = np.arange(rows, dtype=np.uint64) + np.uint64(first & MASK)
    at = np.uint64(NO_STEP & MASK) if steps is None else np.ascontiguousarray(steps, np.int64).view(np.uint64)
    # Odd, so that no factor loses bits of a value.
    return _mix(_mix(numbers) + at) | np.uint64(1)


def row_weight(number: int, step: int) -> int:
    """Return the weight of one row, as `row_weights` does."""
    return _mix_one(_mix_one(number) + step) | 1


def rows_content(weights: UInt64s) -> int:
    """Return what rows contribute besides their values."""
    return int(weights.sum(dtype=np.uint64)) * _ROW & MASK


@lru_cache(maxsize=_CACHED_KEYS)
def key_weight(kind: str, key: str) -> int:
    """Return the weight of a key and kind; the same for all spellings of the key."""
    name = f"{kind}\0{fold_key(key)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little") | 1


def key_weights(kind: str, keys: Sequence[str]) -> UInt64s:
    """Return the weights of a row's keys of one kind; of several spellings of a metric, only the last one counts."""
    weights = [key_weight(kind, key) for key in keys]
    if len(set(weights)) < len(weights):
        last = {weight: place for place, weight in enumerate(weights)}
        weights = [weight if last[weight] == place else 0 for place, weight in enumerate(weights)]
    return np.array(weights, np.uint64)


def cells_content(kind: Kind, keys: UInt64s, rows: UInt64s, values: Any, exact: Mapping[int, str]) -> int:
    """Return the content of the values of k keys in n rows.

    Args:
        kind: the kind of all values.
        keys, rows: the weights of the keys (k) and rows (n).
        values: k × n values, one key after the other: float64 for numbers, bool or uint8 for bools, otherwise texts.
        exact: the digits of integers that float64 can't hold, by their position in `values`.
    """
    shape = (len(keys), len(rows))
    if shape[0] * shape[1] <= _FEW_VALUES:
        return _few_cells_content(kind, keys.tolist(), rows.tolist(), values, exact)
    if kind is Kind.NUMBER:
        # Most values differ in their first bits. As last bits, they are not lost by the multiplication modulo 2^64.
        numbers = np.asarray(values, np.float64).view(">u8").reshape(shape)
    elif kind is Kind.BOOL:
        numbers = np.asarray(values).reshape(shape).astype(np.bool_)
    else:
        numbers = np.array([_text_number(text) for text in values], np.uint64).reshape(shape)
    # Without a copy of the values, and twice as fast as a product of matrices, which has no fast path for integers.
    of_keys = np.einsum("kn,n->k", numbers, rows, dtype=np.uint64, casting="unsafe")
    total = int((of_keys * keys).sum(dtype=np.uint64))
    total += _CELL * int(rows.sum(dtype=np.uint64)) * int(keys.sum(dtype=np.uint64))
    for position, text in exact.items():
        key, row = divmod(position, shape[1])
        total += _exact_number(text) * int(keys[key]) * int(rows[row])
    return total & MASK


def _few_cells_content(kind: Kind, keys: list[int], rows: list[int], values: Any, exact: Mapping[int, str]) -> int:
    """Return the same without numpy, whose calls would dominate the planning of single rows."""
    weights = ((key * row) for key in keys for row in rows)
    listed = values if isinstance(values, list) else values.ravel().tolist()
    total = 0
    for position, (weight, value) in enumerate(zip(weights, listed, strict=True)):
        text = exact.get(position, "") if exact else ""
        total += weight * (_number(kind, value) + _CELL + (_exact_number(text) if text else 0))
    return total & MASK


def row_content(cells: Iterable[tuple[str, str, Any]], weight: int) -> int:
    """Return the content of one row's values, given as key, kind and value; numbers may be int or float."""
    numbers = {key_weight(kind, key): _logged_number(kind, value) for key, kind, value in cells}
    return sum((number + _CELL) * weight * key for key, number in numbers.items()) & MASK


def _logged_number(kind: str, value: Any) -> int:
    if kind != Kind.NUMBER or not isinstance(value, int):
        return _number(kind, value)
    text = exact_text(value)
    return _number(kind, as_float(value)) + (_exact_number(text) if text else 0)


def _number(kind: str, value: Any) -> int:
    if kind == Kind.NUMBER:
        return int.from_bytes(struct.pack("<d", value), "big")
    return int(bool(value)) if kind == Kind.BOOL else _text_number(value)


def _text_number(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return len(data) << 32 & MASK | zlib.crc32(data)


def _exact_number(text: str) -> int:
    return _text_number(text) * _EXACT & MASK


def to_signed(content: int) -> int:
    """Return a content as the number of the same 64 bits that an Avro `long` can hold."""
    return content - 2 * _SIGN if content >= _SIGN else content


def to_unsigned(content: int) -> int:
    """Return the content that `to_signed` has made an Avro `long` of."""
    return content & MASK


def _mix(values: UInt64s) -> UInt64s:
    """Mix the bits of each value (the finalizer of SplitMix64)."""
    mixed = values + np.uint64(_GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_FIRST)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_SECOND)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _mix_one(value: int) -> int:
    mixed = (value + _GOLDEN) & MASK
    mixed = (mixed ^ (mixed >> 30)) * _FIRST & MASK
    mixed = (mixed ^ (mixed >> 27)) * _SECOND & MASK
    return mixed ^ (mixed >> 31)
