"""The cells of one `log()` call: nested dicts become `a.b` keys, and each value its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.media.base import Keep
from stepwell.media.references import media_cell
from stepwell.values.convert import MAX_DEPTH, Cell, cell_of, key_text
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.rules.keys import check_key

Refuse = Callable[[str, str, str], None]
"""Told of a value that can't be stored: its key, its type, the rule."""


def cells_of(data: Mapping[Any, Any], refuse: Refuse, keep: Keep) -> dict[str, Cell]:
    """Return the cells of one `log()` call by key; what can't be stored is told to `refuse` and left out.

    Raises:
        NoRoomError: when `keep` finds no room for a media file: the whole call is to be dropped.
    """
    cells: dict[str, Cell] = {}
    _flatten("", data, cells, (refuse, keep), 0)
    return cells


def _flatten(
    prefix: str, data: Mapping[Any, Any], cells: dict[str, Cell], tools: tuple[Refuse, Keep], depth: int
) -> None:
    refuse, keep = tools
    for raw_key, value in data.items():
        key = f"{prefix}{type(raw_key).__name__}"
        try:
            key = prefix + key_text(raw_key)
            if isinstance(value, Mapping) and value and depth < MAX_DEPTH:
                _flatten(f"{key}.", value, cells, tools, depth + 1)
                continue
            check_key(key)
            cells[key] = media_cell(value, keep) or cell_of(value)
        except NoRoomError:
            raise
        except KeyRuleError as error:
            refuse(key, type(value).__name__, error.rule)
        except UnstorableError as error:
            refuse(key, type(value).__name__, str(error))
        except Exception as error:
            # Foreign objects may raise anything when they are read (a freed tensor, a lazy array); training goes on.
            what = str(error).partition("\n")[0]
            refuse(key, type(value).__name__, f"reading it raised {type(error).__name__}: {what}")
