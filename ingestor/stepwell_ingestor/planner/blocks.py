"""Decode the blocks of a batch: values by key and row, and the reasons why some can't be stored."""

from __future__ import annotations

from typing import Final

import numpy as np

from stepwell_schemas.events.models import U32_BYTES, Block
from stepwell_schemas.rules.json_text import JsonTextError, strict_json
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind

JSON_KINDS: Final = MEDIA_KINDS | {Kind.OTHER}


def first_row(block: Block) -> int:
    """Return the number of the first row in a block."""
    return 0 if block.rows is None else int.from_bytes(block.rows[:U32_BYTES], "little")


def strict_block(block: Block, rows: int) -> tuple[Block, dict[int, str]]:
    """Return a block with strict JSON and, by key index, the reason why a value can't be converted.

    Args:
        block: the block; blocks of kinds without JSON are returned unchanged.
        rows: the number of values of each key.
    """
    if block.kind not in JSON_KINDS:
        return block, {}
    texts, unusable = list(block.texts), dict[int, str]()
    for place, text in enumerate(texts):
        try:
            texts[place] = strict_json(text)
        except JsonTextError as error:
            unusable.setdefault(place // rows, str(error))
    return (block if texts == block.texts else block.model_copy(update={"texts": texts})), unusable


def block_values(block: Block, rows: int, skipped: int, places: list[int]) -> tuple[object, dict[int, str]]:
    """Return the values of the selected keys and rows, key by key, and the exact texts of large integers."""
    if block.kind not in {Kind.NUMBER, Kind.BOOL}:
        return [text for place in places for text in block.texts[place * rows + skipped : (place + 1) * rows]], {}
    values = np.frombuffer(block.packed, "<f8" if block.kind is Kind.NUMBER else np.uint8)
    if not skipped and len(places) == len(block.keys):
        return values, {exact.index: exact.text for exact in block.exact}
    kept = values.reshape(len(block.keys), rows)[places, skipped:]
    width = rows - skipped
    columns = {place: number for number, place in enumerate(places)}
    exact = {
        columns[one.index // rows] * width + one.index % rows - skipped: one.text
        for one in block.exact
        if one.index // rows in columns and one.index % rows >= skipped
    }
    return kept.ravel(), exact
