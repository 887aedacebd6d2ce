"""The cells of one `log()` call: nested dicts are flattened to `a.b` keys, and each value gets its kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.media.base import Keep
from stepwell.media.references import media_cell
from stepwell.values.convert import CYCLE, Cell, key_text, to_cell
from stepwell.values.structure import DICTS, MAX_DEPTH, count_parts
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.limits import DICT_MAX_METRICS, SEND_BATCH_BYTES
from stepwell_schemas.rules.keys import check_key

ROW_MAX_BYTES: Final = 2 * SEND_BATCH_BYTES
"""Size limit of one journal row; a larger row is written as several at its step, so that each fits an event."""

_VALUE_BYTES: Final = 16
_UTF8_BYTES: Final = 4
_MANY: Final = f"the dicts of a call make at most {DICT_MAX_METRICS:,} metrics"

OnRejected = Callable[[str, str, str], None]
"""Callback for a value that can't be stored: its key, its type, the rule that it breaks."""


def build_cells(data: Mapping[Any, Any], reject: OnRejected, keep: Keep) -> dict[str, Cell]:
    """Return the cells of one `log()` call by key; values that can't be stored are reported to `reject` and left out.

    Raises:
        NoRoomError: if `keep` has no room for a media file; the caller drops the entire call.
    """
    return _Flattening(reject, keep).flatten(data)


class _TooManyMetricsError(Exception):
    """Raised within the dict of one key."""


class _Flattening:
    """The cells of one call. A dict that several places share is written at each of them, up to DICT_MAX_METRICS."""

    def __init__(self, reject: OnRejected, keep: Keep) -> None:
        self._reject = reject
        self._keep = keep
        self._room = DICT_MAX_METRICS
        self._open: dict[int, str] = {}

    def flatten(self, data: Mapping[Any, Any]) -> dict[str, Cell]:
        """Return the cells of a call's dict. Raises: NoRoomError."""
        cells: dict[str, Cell] = {}
        self._open[id(data)] = ""
        for raw_key, value in data.items():
            if not isinstance(value, Mapping):
                self._add("", raw_key, value, cells)
                continue
            room, nested = self._room, dict[str, Cell]()
            try:
                self._add("", raw_key, value, nested)
            except _TooManyMetricsError:
                self._room = room
                self._reject(_name(raw_key), type(value).__name__, _MANY)
            else:
                cells.update(nested)
        return cells

    def _add(self, prefix: str, raw_key: Any, value: Any, cells: dict[str, Cell]) -> None:
        key = f"{prefix}{type(raw_key).__name__}"
        try:
            key = prefix + key_text(raw_key)
            if isinstance(value, Mapping) and value and len(self._open) <= MAX_DEPTH:
                self._add_nested(key, value, cells)
                return
            check_key(key)
            cells[key] = media_cell(value, self._keep, key) or to_cell(value)
        except (NoRoomError, _TooManyMetricsError):
            raise
        except KeyRuleError as error:
            self._reject(key, type(value).__name__, error.rule)
        except UnstorableError as error:
            self._reject(key, type(value).__name__, str(error))
        except Exception as error:
            # Foreign objects may raise anything when they are read (a freed tensor, a lazy array); training continues.
            what = str(error).partition("\n")[0]
            self._reject(key, type(value).__name__, f"reading it raised {type(error).__name__}: {what}")

    def _add_nested(self, key: str, value: Mapping[Any, Any], cells: dict[str, Cell]) -> None:
        if id(value) in self._open:
            container = repr(self._open[id(value)]) if self._open[id(value)] else "the dict of the call"
            raise UnstorableError(f"{CYCLE}: it is {container}")
        if len(self._open) == 1 and count_parts(value, DICTS) > self._room:
            raise _TooManyMetricsError
        self._open[id(value)] = key
        try:
            for inner_key, inner in value.items():
                self._room -= 1
                if self._room < 0:
                    raise _TooManyMetricsError
                self._add(f"{key}.", inner_key, inner, cells)
        finally:
            del self._open[id(value)]


def _name(key: Any) -> str:
    try:
        return key_text(key)
    except Exception:
        # A key may raise anything when it is converted.
        return type(key).__name__


def split_row(cells: dict[str, Cell]) -> list[dict[str, Cell]]:
    """Split a row's cells, in order, into parts of at most ROW_MAX_BYTES or one cell; at least one part."""
    parts: list[dict[str, Cell]] = [{}]
    used = 0
    for key, (kind, value) in cells.items():
        size = _VALUE_BYTES + _UTF8_BYTES * (len(key) + (len(value) if isinstance(value, str) else _VALUE_BYTES))
        if used + size > ROW_MAX_BYTES and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][key] = kind, value
        used += size
    return parts


def keys_fit_layout(keys: Collection[Any]) -> bool:
    """Return True if rows of plain scalars under these keys need no JSON: valid keys, and rows that fit an event."""
    if not all(type(key) is str for key in keys):
        return False
    try:
        for key in keys:
            check_key(key)
    except KeyRuleError:
        return False
    return sum(len(key.encode()) + _VALUE_BYTES for key in keys) <= ROW_MAX_BYTES
