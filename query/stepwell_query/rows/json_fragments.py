"""Values as JSON fragments, a column at a time; each fragment ends in a comma and can be concatenated."""

from __future__ import annotations

from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stepwell_query.encoding import INTEGER, NotFinite
from stepwell_query.stored_json import value_text
from stepwell_schemas.rules.json_values import float_json

TEXT: Final = pa.large_string()
"""The type of fragments; those of one part of an answer may exceed 2 GiB."""

_COMMA: Final = ord(",")
_ESCAPED: Final = r'["\\\x00-\x1f]'


def number_texts(values: NDArray[np.float64] | NDArray[np.int64], non_finite: NotFinite = NotFinite.TEXT) -> pa.Array:
    """Return n numbers as fragments; `non_finite` selects the form of NaN and infinities."""
    written = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    texts = _split(written, len(values))
    irregular = ~np.isfinite(values)
    if not irregular.any():
        return texts
    quote = '"' if non_finite is NotFinite.TEXT else ""
    names = [f"{quote}{float_json(value)}{quote}," for value in values[irregular].tolist()]
    return pc.replace_with_mask(texts, pa.array(irregular), pa.array(names, TEXT))


def exact_texts(numbers: pa.Array, digits: pa.Array) -> pa.Array:
    """Return fragments of numbers, replaced by exact digits where `digits` is not null."""
    if digits.null_count == len(digits):
        return numbers
    there = pc.fill_null(pc.match_substring_regex(digits, f"^{INTEGER.pattern}$"), fill_value=False)
    return pc.replace_with_mask(numbers, there, concat_texts(digits.filter(there), ","))


def bool_texts(values: pa.Array) -> pa.Array:
    """Return n booleans as fragments."""
    return pc.if_else(values, pa.scalar("true,", TEXT), pa.scalar("false,", TEXT))


def string_texts(values: pa.Array) -> pa.Array:
    """Return n strings as quoted fragments."""
    quoted = concat_texts('"', values, '",')
    special = pc.match_substring_regex(values, _ESCAPED)
    if not pc.any(special).as_py():
        return quoted
    escaped = [f"{orjson.dumps(value).decode()}," for value in values.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special, pa.array(escaped, TEXT))


def document_texts(values: pa.Array) -> pa.Array:
    """Return n JSON texts as fragments; a text that is not strict JSON is converted to strict JSON."""
    texts = [value_text(value) for value in values.to_pylist()]
    return concat_texts(pa.array(texts, TEXT), ",")


def concat_texts(*parts: pa.Array | str) -> pa.Array:
    """Concatenate columns of texts element by element; a string is repeated for every element."""
    columns = [pa.scalar(part, TEXT) if isinstance(part, str) else part.cast(TEXT) for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar("", TEXT))


def _split(array: bytes, count: int) -> pa.Array:
    """Return the `count` elements of a JSON array of numbers, each followed by a comma."""
    if not count:
        return pa.array([], TEXT)
    data = np.frombuffer(array, np.uint8).copy()
    data[-1] = _COMMA
    offsets = np.concatenate(([1], np.flatnonzero(data == _COMMA) + 1))
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
