"""How one path of the summary is found in SQL, as `stepwell_query.runs.summary` finds it for one run. Pure.

A path that was set by hand holds over the metrics. Else it is the metric of this key, its last value, unless
`define_metric` left it out or made an object of it; or, for `loss.min`, the figure that the metric `loss` was given
by `define_metric(summary="min")`. Which definition holds is decided here, once for each list of definitions that a
project's runs have; the statement gets the outcome as a parameter.
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
"""Figures that rows must give: the first always, the others where a step was written twice."""

FIGURES: Final = ("min", "max", "mean", "best", "first", "last")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a project's runs have of what is asked for: stored spellings of keys, and paths that some run set by hand.

    `definitions` are the lists of definitions of all runs, as stored.
    """

    spellings: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    by_hand: frozenset[str] = frozenset()

    def spelled(self, key: str) -> tuple[str, ...]:
        """Return the spellings in which runs store a key."""
        folded = fold_key(key)
        return tuple(spelling for spelling in self.spellings if fold_key(spelling) == folded)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A metric that a path may mean: its key as asked and as stored, the figure of it ("" for the metric itself).

    `hows` says of each list in `definitions` what the path is there: LAST, NONE, DICT or a figure. Of lists that are
    not named it is `otherwise`.
    """

    key: str
    spellings: tuple[str, ...]
    figure: str
    definitions: tuple[str, ...]
    hows: tuple[str, ...]

    @property
    def otherwise(self) -> str:
        """What the path is where nothing was defined."""
        return NONE if self.figure else LAST

    @property
    def from_rows(self) -> bool:
        """Whether some of it may have to be taken from the rows themselves."""
        return bool(FROM_ROWS & set(self.hows))


def keys_of(path: str) -> list[str]:
    """Return the keys of metrics that a path may mean: itself, and the one whose figure it may be."""
    parent, _, figure = path.rpartition(".")
    return [path, parent] if parent and figure in FIGURES else [path]


def candidates(path: str, facts: Facts) -> list[Candidate]:
    """Return the metrics that a path may mean, in the order in which they are looked for."""
    found = []
    for key in keys_of(path):
        figure = "" if key == path else path[len(key) + 1 :]
        spellings = facts.spelled(key)
        hows = [(text, outcome(key, figure, text)) for text in facts.definitions]
        special = [(text, how) for text, how in hows if how != (NONE if figure else LAST)]
        if spellings and (special or not figure):
            texts, outcomes = zip(*special, strict=True) if special else ((), ())
            found.append(Candidate(key, spellings, figure, tuple(texts), tuple(outcomes)))
    return found


def outcome(key: str, figure: str, text: str) -> str:
    """Return what a metric, or a figure of it, is in the summary of a run with these definitions, as stored."""
    definition = find_definition(key, read_definitions(text))
    if "none" in definition.summary:
        return NONE
    wanted = set(definition.summary) - {"copy"}
    if not figure:
        return DICT if wanted else LAST
    if figure not in wanted:
        return NONE
    if figure == "best":
        return "max" if (definition.goal or "").startswith("max") else "min"
    return figure
