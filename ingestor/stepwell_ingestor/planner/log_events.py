"""Convert plain `log()` calls, as sent by producers other than the SDK, to batches."""

from __future__ import annotations

import json

import numpy as np

from stepwell_schemas.events.models import Block, LogBatch, LogEvent, Media, Other
from stepwell_schemas.rules.kinds import Kind, as_float, exact_text
from stepwell_schemas.rules.steps import commit_code


def as_batch(event: LogEvent, timestamp: int) -> LogBatch:
    """Convert a plain `log()` call to a batch of one row."""
    blocks: dict[Kind, tuple[list[str], list[object]]] = {}
    for key, value in event.data.items():
        kind, stored = _kind_and_value(value)
        keys, values = blocks.setdefault(kind, ([], []))
        keys.append(key)
        values.append(stored)
    return LogBatch(
        entity=event.entity,
        project=event.project,
        run_id=event.run_id,
        writer=event.writer,
        rows=1,
        timestamps=np.array([timestamp], "<i8").tobytes(),
        steps=None if event.step is None else np.array([event.step], "<i8").tobytes(),
        commits=np.array([commit_code(event.commit)], np.int8).tobytes(),
        blocks=[_block(kind, keys, values) for kind, (keys, values) in blocks.items()],
    )


def _kind_and_value(value: object) -> tuple[Kind, object]:
    if isinstance(value, bool):
        return Kind.BOOL, value
    if isinstance(value, int | float):
        return Kind.NUMBER, value
    if isinstance(value, str):
        return Kind.STRING, value
    if isinstance(value, Media):
        return value.kind, value.json_text
    if isinstance(value, Other):
        return Kind.OTHER, value.json_text
    return Kind.OTHER, json.dumps(value)


def _block(kind: Kind, keys: list[str], values: list[object]) -> Block:
    if kind is Kind.BOOL:
        return Block(kind=kind, keys=keys, packed=bytes(int(bool(value)) for value in values))
    if kind is not Kind.NUMBER:
        return Block(kind=kind, keys=keys, texts=[str(value) for value in values])
    exact = [
        {"index": index, "text": exact_text(value)}
        for index, value in enumerate(values)
        if isinstance(value, int) and exact_text(value)
    ]
    floats = [as_float(value) if isinstance(value, int) else value for value in values]
    return Block.model_validate(
        {"kind": kind, "keys": keys, "packed": np.array(floats, "<f8").tobytes(), "exact": exact}
    )
