"""Records that can't be delivered: kept next to their journal, in a file of JSON lines.

    {"sequence": 7, "reason": "…", "timestamp": 1764…, "step": 7, "commit": true, "values": {"loss": 0.5}}
    {"sequence": 8, "reason": "…", "event": {…}}
    {"sequence": 9, "reason": "…", "media": {"sha256": …}, "data": "<base64>"}

`timestamp` is in µs since the epoch; `step` and `commit` are the arguments of the call, null if it had none.
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stepwell.delivery.cutting import OutgoingEvent
from stepwell.journal.items import JsonRow, MediaRecord, Rows
from stepwell_schemas.rules.steps import COMMIT_FALSE, COMMIT_TRUE, NO_STEP

SUFFIX: Final = ".rejected"
_COMMITS: Final = {COMMIT_TRUE: True, COMMIT_FALSE: False}


def set_aside_path(journal: Path) -> Path:
    """Return the file for the records of a journal that can't be delivered."""
    return journal.with_name(journal.name + SUFFIX)


def set_aside(event: OutgoingEvent, path: Path) -> None:
    """Append the record of an event to the file. Raises: OSError.

    A process that dies before the record is acknowledged repeats the line, with the same sequence number.
    """
    line = json.dumps(_describe(event), default=str)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read_set_aside(journal: Path) -> frozenset[int]:
    """Return the numbers of a journal's records that were set aside; a line that was cut off is left out."""
    try:
        lines = set_aside_path(journal).read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    numbers = set()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            numbers.add(int(json.loads(line)["sequence"]))
    return frozenset(numbers)


def _describe(event: OutgoingEvent) -> dict[str, Any]:
    (item,) = event.content.items
    head: dict[str, Any] = {"sequence": event.sequence, "reason": event.error}
    if isinstance(item, Rows):
        row = item.array[0]
        values = [value for run, _ in enumerate(item.layout.code_runs()) for value in row[f"v{run}"].tolist()]
        cells = dict(zip(item.layout.keys, values, strict=True))
        return head | _call(int(row["timestamp"]), int(row["asked"]), int(row["commit"]), cells)
    if isinstance(item, JsonRow):
        cells = {key: value for key, (_, value) in item.row["d"].items()}
        return head | _call(item.row["t"], item.row["s"], item.row["c"], cells)
    if isinstance(item, MediaRecord):
        return head | {"media": item.head, "data": b64encode(item.data).decode()}
    return head | {"event": item.fields}


def _call(timestamp: int, asked: int, commit: int, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": timestamp,
        "step": None if asked == NO_STEP else asked,
        "commit": _COMMITS.get(commit),
        "values": values,
    }
