"""Cells of media values: references to their files."""

from __future__ import annotations

import json
from typing import Any

from stepwell.errors import UnstorableError
from stepwell.media.adapters import as_media
from stepwell.media.base import Keep, name_keep
from stepwell.values.convert import Cell, check_text, to_json_value


def media_cell(value: Any, keep: Keep, key: str = "") -> Cell | None:
    """Return the kind and the reference of media, or of a list of media of one kind; None for all other values.

    Args:
        key: the metric that has the value, for reports of `keep`; "" for a part of a value, such as a table's cell.

    Raises:
        UnstorableError: if the media can't be stored. NoRoomError: see `Keep`.
    """
    if isinstance(value, list | tuple):
        first = as_media(value[0]) if value else None
        if first is None:
            return None
        keep = name_keep(keep, key)
        kind, items = first.kind, [as_media(item) for item in value]
        references = [item.take(keep) for item in items if item is not None and item.kind is kind]
        if len(references) != len(items):
            raise UnstorableError(f"a list that starts with {kind} must hold no other values")
        reference: dict[str, Any] = {"items": references}
    else:
        media = as_media(value)
        if media is None:
            return None
        kind, reference = media.kind, media.take(name_keep(keep, key))
    text = json.dumps(to_json_value(reference, exact=False), ensure_ascii=False, allow_nan=False)
    check_text(text)
    return str(kind), text
