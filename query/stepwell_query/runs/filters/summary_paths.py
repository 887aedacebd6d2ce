"""Resolution of a path of the summary for SQL, by the rules of `stepwell_query.runs.summary`.

A value that was set by hand takes precedence. Otherwise the path is the last value of the metric with this key, unless
`define_metric` left it out or made an object of it; or, for `loss.min`, the figure that `define_metric(summary="min")`
requests of `loss`. The definition that applies is decided here, once for each list of definitions that a project's runs
have; the statement gets the outcome as a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stepwell_query.stored_json import read_definitions
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.metric_definitions import find_definition

LAST: Final = "last"
NONE: Final = "none"
DICT: Final = "dict"
FROM_ROWS: Final = frozenset({"first", "min", "max", "mean"})
"""Figures that may be computed from rows: `first` always, the others where a step was written twice."""

FIGURES: Final = ("min", "max", "mean", "best", "first", "last")


@dataclass(frozen=True, slots=True)
class Facts:
    """The parts of a project's metadata that a statement depends on.

    Attributes:
        spellings: stored spellings of the requested keys. definitions: the lists of definitions of all runs, as stored.
        by_hand: the requested paths that some run set by hand.
        of_writers: the stored spellings that a named writer logged in some run.
        config: the requested paths of the config that some run has.
    """

    spellings: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    by_hand: frozenset[str] = frozenset()
    of_writers: frozenset[str] = frozenset()
    config: frozenset[str] = frozenset()

    def spelled(self, key: str) -> tuple[str, ...]:
        """Return the spellings in which runs store a key."""
        folded = fold_key(key)
        return tuple(spelling for spelling in self.spellings if fold_key(spelling) == folded)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A metric that a path may refer to.

    Attributes:
        key: the key as requested. spellings: the key as stored.
        figure: the figure of the metric; "" for the metric itself.
        definitions, outcomes: lists of definitions, and what the path is under each: LAST, NONE, DICT or a figure.
            Under all other lists it is `default`.
    """

    key: str
    spellings: tuple[str, ...]
    figure: str
    definitions: tuple[str, ...]
    outcomes: tuple[str, ...]

    @property
    def default(self) -> str:
        """The outcome where nothing was defined."""
        return NONE if self.figure else LAST

    @property
    def from_rows(self) -> bool:
        """Return whether some outcomes may have to be computed from the rows."""
        return bool(FROM_ROWS & set(self.outcomes))


def metric_keys(path: str) -> list[str]:
    """Return the keys of metrics that a path may refer to: the path itself, and the key whose figure it may be."""
    parent, _, figure = path.rpartition(".")
    return [path, parent] if parent and figure in FIGURES else [path]


def find_candidates(path: str, facts: Facts) -> list[Candidate]:
    """Return the metrics that a path may refer to, by precedence."""
    found = []
    for key in metric_keys(path):
        figure = "" if key == path else path[len(key) + 1 :]
        spellings = facts.spelled(key)
        outcomes = [(text, resolve_outcome(key, figure, text)) for text in facts.definitions]
        special = [(text, how) for text, how in outcomes if how != (NONE if figure else LAST)]
        if spellings and (special or not figure):
            definitions, special_outcomes = zip(*special, strict=True) if special else ((), ())
            found.append(Candidate(key, spellings, figure, tuple(definitions), tuple(special_outcomes)))
    return found


def resolve_outcome(key: str, figure: str, text: str) -> str:
    """Return what a metric, or a figure of it, is in the summary of a run with these definitions.

    Args:
        text: the definitions as stored.
    """
    definition = find_definition(key, read_definitions(text))
    if "none" in definition.summary:
        return NONE
    figures = set(definition.summary) - {"copy"}
    if not figure:
        return DICT if figures else LAST
    if figure not in figures:
        return NONE
    if figure == "best":
        return "max" if (definition.goal or "").startswith("max") else "min"
    return figure
