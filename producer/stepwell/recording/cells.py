"""The cells of one `log()` call: nested dicts are flattened to `a.b` keys, and each value gets its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.media.base import Keep
from stepwell.media.references import media_cell
from stepwell.values.convert import MAX_DEPTH, Cell, key_text, to_cell
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.limits import SEND_BATCH_BYTES
from stepwell_schemas.rules.keys import check_key

ROW_MAX_BYTES: Final = 2 * SEND_BATCH_BYTES
"""Size limit of one journal row; a larger row is written as several at its step, so that each fits an event."""

VALUE_BYTES: Final = 16
_UTF8_BYTES: Final = 4

OnRejected = Callable[[str, str, str], None]
"""Callback for a value that can't be stored: its key, its type, the rule that it breaks."""


def build_cells(data: Mapping[Any, Any], reject: OnRejected, keep: Keep) -> dict[str, Cell]:
    """Return the cells of one `log()` call by key; values that can't be stored are reported to `reject` and left out.

    Raises:
        NoRoomError: if `keep` has no room for a media file; the caller drops the entire call.
    """
    cells: dict[str, Cell] = {}
    _flatten("", data, cells, (reject, keep), 0)
    return cells


def _flatten(
    prefix: str, data: Mapping[Any, Any], cells: dict[str, Cell], tools: tuple[OnRejected, Keep], depth: int
) -> None:
    reject, keep = tools
    for raw_key, value in data.items():
        key = f"{prefix}{type(raw_key).__name__}"
        try:
            key = prefix + key_text(raw_key)
            if isinstance(value, Mapping) and value and depth < MAX_DEPTH:
                _flatten(f"{key}.", value, cells, tools, depth + 1)
                continue
            check_key(key)
            cells[key] = media_cell(value, keep) or to_cell(value)
        except NoRoomError:
            raise
        except KeyRuleError as error:
            reject(key, type(value).__name__, error.rule)
        except UnstorableError as error:
            reject(key, type(value).__name__, str(error))
        except Exception as error:
            # Foreign objects may raise anything when they are read (a freed tensor, a lazy array); training continues.
            what = str(error).partition("\n")[0]
            reject(key, type(value).__name__, f"reading it raised {type(error).__name__}: {what}")


def split_row(cells: dict[str, Cell]) -> list[dict[str, Cell]]:
    """Split a row's cells, in order, into parts of at most ROW_MAX_BYTES or one cell; at least one part."""
    parts: list[dict[str, Cell]] = [{}]
    used = 0
    for key, (kind, value) in cells.items():
        size = VALUE_BYTES + _UTF8_BYTES * (len(key) + (len(value) if isinstance(value, str) else VALUE_BYTES))
        if used + size > ROW_MAX_BYTES and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][key] = kind, value
        used += size
    return parts
