"""Offline runs, as their journals hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stepwell.journal.items import JournalItem, JsonRow, MetaEvent, Rows, requested_steps
from stepwell_schemas.rules.steps import StepState, resolve
from support.readers.journals import read_journal

_PLAIN = ("number", "string", "bool")


class OfflineRun(NamedTuple):
    """A run of one session: its metadata, with later changes applied, and its rows by step.

    `rows` has numbers, texts and bools as they are; a value of any other kind is a pair of kind and JSON.
    """

    path: str
    started: dict[str, Any]
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    rows: dict[int, dict[str, Any]]
    exit_code: int | None

    def column(self, key: str) -> list[Any]:
        """Return the values of a key by step."""
        return [row[key] for _, row in sorted(self.rows.items()) if key in row]


def read_offline_runs(folder: Path) -> list[OfflineRun]:
    """Return the runs whose journals lie in a folder, in the order in which they began."""
    journals = sorted(
        (read_journal(path) for path in folder.glob("journals/*.journal")), key=lambda read: read[0].started
    )
    return [_read_run(f"{info.entity}/{info.project}/{info.run_id}", items) for info, items in journals]


def _read_run(path: str, items: list[JournalItem]) -> OfflineRun:
    run = OfflineRun(path, {}, {}, {}, {}, {}, None)
    state = StepState()
    for item in items:
        if isinstance(item, MetaEvent):
            run = _apply(run, dict(item.fields))
        elif isinstance(item, Rows | JsonRow):
            asked, commits = requested_steps(item)
            resolved = resolve(state, asked, commits, len(asked))
            state = resolved.state
            for step, row in zip(resolved.steps.tolist(), _rows(item), strict=True):
                run.rows.setdefault(step, {}).update(row)
    return run


def _apply(run: OfflineRun, fields: dict[str, Any]) -> OfflineRun:
    for removed in fields.pop("config_remove", ()):
        run.config.pop(removed, None)
    run.config.update(fields.pop("config", {}))
    run.summary.update(fields.pop("summary", {}))
    run.metrics.update({metric["name"]: metric for metric in fields.pop("metrics", ())})
    if fields["event"] == "RunFinished":
        return run._replace(exit_code=fields["exit_code"])
    run.started.update(fields)
    return run


def _rows(item: Rows | JsonRow) -> Iterator[dict[str, Any]]:
    if isinstance(item, JsonRow):
        yield {
            key: value if kind in _PLAIN else (kind, json.loads(value)) for key, (kind, value) in item.row["d"].items()
        }
        return
    for record in item.array:
        values: list[Any] = []
        for number, _ in enumerate(item.layout.code_runs()):
            values += record[f"v{number}"].tolist()
        yield dict(zip(item.layout.keys, values, strict=True))
