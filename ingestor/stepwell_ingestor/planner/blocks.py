"""Decode the blocks of a batch: values by key and row, and the reasons why some can't be stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

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


def block_values(
    block: Block, rows: int, chosen: NDArray[np.int64] | None, places: list[int]
) -> tuple[object, dict[int, str]]:
    """Return the values of the selected keys and rows, key by key, and the exact texts of large integers.

    `rows`: the number of values of each key. `chosen`: indices of the selected ones, ascending; None for all.
    """
    if block.kind not in {Kind.NUMBER, Kind.BOOL}:
        of_key = range(rows) if chosen is None else chosen.tolist()
        return [block.texts[place * rows + row] for place in places for row in of_key], {}
    values = np.frombuffer(block.packed, "<f8" if block.kind is Kind.NUMBER else np.uint8)
    if chosen is None and len(places) == len(block.keys):
        return values, {exact.index: exact.text for exact in block.exact}
    kept = values.reshape(len(block.keys), rows)[places]
    exact = _exact_texts(block, rows, range(rows) if chosen is None else chosen.tolist(), places) if block.exact else {}
    return (kept if chosen is None else kept[:, chosen]).ravel(), exact


def _exact_texts(block: Block, rows: int, chosen: Sequence[int], places: list[int]) -> dict[int, str]:
    """Return the exact texts by their positions among the selected values."""
    columns = {place: number for number, place in enumerate(places)}
    numbers = {row: number for number, row in enumerate(chosen)}
    found = {}
    for exact in block.exact:
        place, row = divmod(exact.index, rows)
        if place in columns and row in numbers:
            found[columns[place] * len(chosen) + numbers[row]] = exact.text
    return found
