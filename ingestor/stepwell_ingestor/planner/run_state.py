"""What the ingestor remembers of a run from one flush to the next, and the run's document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stepwell_ingestor.planner.rollups.rows import OpenBuckets
from stepwell_schemas.events.models import MetricDefinition, RunFinished, RunStarted, RunUpdated
from stepwell_schemas.rules.keys import fold_key

SeriesId = tuple[str, str]
"""A series within its run: its key, as stored, and its kind."""


@dataclass(frozen=True)
class RunDocument:
    """What is known of a run besides its values; times are microseconds since the epoch, JSON as objects."""

    display_name: str
    created_at: int
    started_at: int
    state: str = "running"
    exit_code: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    notes: str = ""
    run_group: str = ""
    job_type: str = ""
    metric_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    client: str = ""
    host: str = ""
    finished_at: int | None = None

    def started(self, event: RunStarted, at: int) -> RunDocument:
        """Return the document after a start or a resumption; what the event leaves empty stays."""
        return replace(
            self,
            display_name=event.display_name or self.display_name,
            started_at=at,
            state="running",
            exit_code=None,
            finished_at=None,
            config={**self.config, **json_object(event.config)},
            tags=tuple(event.tags) or self.tags,
            notes=event.notes or self.notes,
            run_group=event.group or self.run_group,
            job_type=event.job_type or self.job_type,
            client=event.client or self.client,
            host=event.host or self.host,
        )

    def updated(self, event: RunUpdated) -> RunDocument:
        """Return the document after a change."""
        return replace(
            self,
            display_name=self.display_name if event.display_name is None else event.display_name,
            config=_merged(self.config, json_object(event.config), event.config_remove),
            summary=_merged(self.summary, json_object(event.summary), event.summary_remove),
            tags=self.tags if event.tags is None else tuple(event.tags),
            notes=self.notes if event.notes is None else event.notes,
            metric_definitions=_redefined(self.metric_definitions, event.metrics),
        )

    def finished(self, event: RunFinished, at: int) -> RunDocument:
        """Return the document after the run's end."""
        return replace(self, state=event.state, exit_code=event.exit_code, finished_at=at)


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`. Raises: ValueError when it is none."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, not {type(value).__name__}")
    return value


def _redefined(known: Mapping[str, Mapping[str, Any]], new: Sequence[MetricDefinition]) -> dict[str, Mapping[str, Any]]:
    """Return the definitions in the order they were made: one that is made again comes last."""
    made = {definition.name: definition.model_dump() for definition in new}
    return {**{name: one for name, one in known.items() if name not in made}, **made}


def _merged(known: Mapping[str, Any], new: Mapping[str, Any], removed: list[str]) -> dict[str, Any]:
    return {key: value for key, value in {**known, **new}.items() if key not in set(removed) - set(new)}


NEXT_STEP: Final = "next_step"


@dataclass
class RunState:
    """A run's ingest state.

    `writers`: each writer's current step. `counters`: `next_step`, the one behind the last that the run itself logged
    at. `sessions`: each journal's next sequence number. `spellings`: the stored
    key of each folded key. `stored_as`: the stored key of each spelling that was seen. `last_steps`: the last step of
    each series. `open_buckets`: what the open buckets of its numbers' rollups have come to. All of it is a function of
    the log before some offset, or not known of `open_buckets`, which is not stored.
    """

    writers: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    stored_as: dict[str, str] = field(default_factory=dict)
    last_steps: dict[SeriesId, int] = field(default_factory=dict)
    document: RunDocument | None = None
    counters: dict[str, int] = field(default_factory=dict)
    open_buckets: OpenBuckets = field(default_factory=OpenBuckets, compare=False)

    def reached(self, step: int) -> None:
        """Note that the run itself logged at a step."""
        self.counters[NEXT_STEP] = max(self.counters.get(NEXT_STEP, 0), step + 1)

    def resume(self, writer: str) -> None:
        """Let a writer go on behind the last step of the run: it must not write into a row of an earlier session."""
        self.writers[writer] = max(self.writers.get(writer, 0), self.counters.get(NEXT_STEP, 0))

    def stored_key(self, key: str) -> tuple[str, str]:
        """Return the spelling that a key is stored under, and what it folds to where it is seen for the first time."""
        stored = self.stored_as.get(key)
        if stored is not None:
            return stored, ""
        folded = fold_key(key)
        stored = self.stored_as[key] = self.spellings.setdefault(folded, key)
        return stored, folded

    def copy(self) -> RunState:
        """Return a state that changes on its own."""
        return RunState(
            dict(self.writers), dict(self.sessions), dict(self.spellings), dict(self.stored_as),
            dict(self.last_steps), self.document, dict(self.counters), self.open_buckets,
        )  # fmt: skip
