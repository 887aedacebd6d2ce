"""Items of a journal, as a `Reader` returns them: blocks of rows, single rows, events and media."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell.journal.row_layout import Layout

_NUMPY_CODES: Final = {"d": "<f8", "q": "<i8", "?": "?"}


class Rows(NamedTuple):
    """A block of packed rows: a structured array with `timestamp`, `asked`, `commit` and a `v<n>` per code run."""

    layout: Layout
    array: NDArray[Any]
    end: int


class JsonRow(NamedTuple):
    """One row without a layout: `{"t": µs, "s": asked step, "c": commit code, "d": {key: [kind, value]}}`."""

    row: dict[str, Any]
    size: int
    end: int


class MetaEvent(NamedTuple):
    """An event other than a row: its `event` name, and its fields."""

    fields: dict[str, Any]
    end: int


class MediaRecord(NamedTuple):
    """A chunk of a media file: `head` has `sha256`, `index`, `count`, `size`, `content_type` and `timestamp`."""

    head: dict[str, Any]
    data: bytes
    end: int


JournalItem = Rows | JsonRow | MetaEvent | MediaRecord


def requested_steps(item: JournalItem) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Return the requested steps and commit codes of an item's rows, as `steps.resolve` takes them."""
    if isinstance(item, Rows):
        return item.array["asked"].astype(np.int64), item.array["commit"].astype(np.int8)
    rows = [item.row] if isinstance(item, JsonRow) else []
    return np.array([row["s"] for row in rows], np.int64), np.array([row["c"] for row in rows], np.int8)


def row_dtype(layout: Layout) -> np.dtype[Any]:
    """Return the numpy type of a layout's records, heads included; one field for each run of equal codes."""
    fields: list[Any] = [
        ("size", "<u4"),
        ("crc", "<u4"),
        ("tag", "<u4"),
        ("timestamp", "<i8"),
        ("asked", "<i8"),
        ("commit", "u1"),
    ]
    for number, (code, first, end) in enumerate(layout.code_runs()):
        fields.append((f"v{number}", _NUMPY_CODES[code], (end - first,)))
    return np.dtype(fields)
