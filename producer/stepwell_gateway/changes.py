"""Changes of runs as requests describe them, and the events that they become."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from stepwell_schemas.events.models import RunDeleted, RunUpdated
from stepwell_schemas.http.parameters import RequestModel
from stepwell_schemas.limits import TEXT_MAX_BYTES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.json_text import JsonTextError, json_members
from stepwell_schemas.rules.json_values import float_json

RUNS_MAX: Final = 1_000
"""Runs that one request changes."""

TAGS_MAX: Final = 1_000


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("has a lone surrogate, which is no character") from None


def _check_text(text: str) -> str:
    if (size := _size(text)) > TEXT_MAX_BYTES:
        raise ValueError(f"has {size:,} bytes; at most {TEXT_MAX_BYTES:,} are stored")
    return text


def _check_object(values: dict[str, Any]) -> dict[str, Any]:
    try:
        text = _object_text(values)
        _size(text)
        members = json_members(text)
    except (JsonTextError, RecursionError) as error:
        raise ValueError(f"can't be stored: {error}") from None
    for key, member in members.items():
        if (size := _size(member)) > TEXT_MAX_BYTES:
            raise ValueError(f"the value of {key!r} has {size:,} bytes; at most {TEXT_MAX_BYTES:,} fit")
    return values


Text = Annotated[str, AfterValidator(_check_text)]
Tags = Annotated[list[Text], Field(max_length=TAGS_MAX)]
Object = Annotated[dict[Text, Any], AfterValidator(_check_object)]
Keys = Annotated[list[Text], Field(max_length=TAGS_MAX)]


class RunChange(RequestModel):
    """A change of a run; a field that is left out, or null, stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = Field(None, description="The display name; empty: the run's id is shown.")
    notes: Text | None = Field(None, description="The notes.")
    tags: Tags | None = Field(None, description="All tags. To add or remove some, use the two below.")
    tags_add: Tags = Field([], description="Tags to add.")
    tags_remove: Tags = Field([], description="Tags to remove.")
    group: Text | None = Field(None, description="The group.")
    job_type: Text | None = Field(None, description="The job type.")
    config: Object = Field({}, description="Keys of the configuration to set; each value is replaced as a whole.")
    config_remove: Keys = Field([], description="Keys of the configuration to remove.")
    summary: Object = Field({}, description="Keys of the summary to set; they hold over the metrics' own values.")
    summary_remove: Keys = Field([], description="Keys of the summary that were set by hand, to remove.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None or value in ({}, []) for _, value in self):
            raise ValueError("changes nothing; send at least one field")
        return self

    def event(self, run: RunPath, timestamp: int) -> RunUpdated:
        """Return the event of the change; `timestamp` in µs."""
        return RunUpdated(
            **run._asdict(),
            timestamp=timestamp,
            edited=True,
            display_name=self.name,
            notes=self.notes,
            tags=self.tags,
            tags_add=self.tags_add,
            tags_remove=self.tags_remove,
            group=self.group,
            job_type=self.job_type,
            config=_object_text(self.config),
            config_remove=self.config_remove,
            summary=_object_text(self.summary),
            summary_remove=self.summary_remove,
        )


class RunsBody(RequestModel):
    """Some runs of a project."""

    model_config = ConfigDict(extra="forbid")

    run_ids: list[str] = Field(min_length=1, max_length=RUNS_MAX, description="The runs.")


class RunsChangeBody(RunsBody):
    """A change of some runs of a project."""

    change: RunChange


def stop_event(run: RunPath, timestamp: int) -> RunUpdated:
    """Return the event that asks a run to stop."""
    return RunUpdated(**run._asdict(), timestamp=timestamp, edited=True, stop_requested=True)


def deletion_event(run: RunPath, timestamp: int) -> RunDeleted:
    """Return the event that deletes a run."""
    return RunDeleted(**run._asdict(), timestamp=timestamp)


def _object_text(values: dict[str, Any]) -> str:
    return json.dumps(_named_floats(values), ensure_ascii=False)


def _named_floats(value: Any) -> Any:
    """Return a value with the names of NaN and ±Inf in their place, as the SDK stores metadata."""
    if isinstance(value, float):
        return float_json(value)
    if isinstance(value, dict):
        return {key: _named_floats(item) for key, item in value.items()}
    return [_named_floats(item) for item in value] if isinstance(value, list) else value
