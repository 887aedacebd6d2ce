"""The run as it is known to a session that resumes it: its description, config, summary and metric definitions.

Nothing here is sent again: the service has it, or a journal of an earlier session delivers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from stepwell.recording.figures import Figures, stored_figures
from stepwell.values.metadata import restore_floats
from stepwell_schemas.rules.metric_definitions import Definition, find_definition


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run as far as it is known.

    Attributes:
        name, notes, tags, group, job_type: "" or empty if none was given.
        config: in JSON's types, with NaN and ±Inf as floats. by_hand: likewise, the values of the summary that the
            user set.
        logged: each metric's last value in JSON's types, or the summary that its definition requests.
        figures: the figures of the metrics whose definitions request any.
        definitions: by name, in order of definition.
    """

    name: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""
    job_type: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    by_hand: Mapping[str, Any] = field(default_factory=dict)
    logged: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Figures] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Mapping[str, Any], moments: Mapping[str, tuple[int, float]]) -> Self:
        """Return what the service's document of a run says.

        Args:
            moments: count and mean of the metrics that are summarized by their mean.
        """
        set_by_user = set(document.get("summary_set") or ())
        summary = dict(document.get("summary") or {})
        definitions = [Definition.read(stored) for stored in document.get("metric_definitions") or ()]
        logged = {key: value for key, value in summary.items() if key not in set_by_user}
        return cls(
            # A run without a name is shown under its id.
            name="" if document.get("name") == document.get("run_id") else str(document.get("name") or ""),
            notes=str(document.get("notes") or ""),
            tags=tuple(document.get("tags") or ()),
            group=str(document.get("group") or ""),
            job_type=str(document.get("job_type") or ""),
            config=restore_floats(document.get("config") or {}),
            by_hand=restore_floats({key: value for key, value in summary.items() if key in set_by_user}),
            logged=logged,
            figures=_read_figures(logged, definitions, moments),
            definitions={definition.name: definition for definition in definitions},
        )


def means_wanted(document: Mapping[str, Any]) -> list[str]:
    """Return the metrics in a document that are summarized by their mean."""
    definitions = [Definition.read(stored) for stored in document.get("metric_definitions") or ()]
    summary = document.get("summary") or {}
    return [key for key in summary if definitions and "mean" in find_definition(key, definitions).summary]


def _read_figures(
    logged: Mapping[str, Any], definitions: Iterable[Definition], moments: Mapping[str, tuple[int, float]]
) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    known = list(definitions)
    for key, value in logged.items() if known else ():
        figures = stored_figures(value, find_definition(key, known), *moments.get(key, (0, float("nan"))))
        if figures is not None:
            found[key] = figures
    return found
