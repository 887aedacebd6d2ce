"""The cells of one `log()` call: nested dicts are flattened to `a.b` keys, and each value gets its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.media.base import Keep
from stepwell.media.references import media_cell
from stepwell.values.convert import MAX_DEPTH, Cell, key_text, to_cell
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.rules.keys import check_key

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
