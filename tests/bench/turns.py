"""Costs of several works, measured in turns, so that other load of the machine affects all of them equally.

The least of several rounds is the cost with the fewest disturbances: other load only ever adds to it, also to processor
time, through caches and memory that are shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

Cost = Callable[[], float]


def processor_seconds(work: Callable[[], Any]) -> float:
    """Return the processor time that all threads of this process take during the work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def take_turns(costs: Sequence[Cost], rounds: int) -> list[list[float]]:
    """Return the costs of all rounds for each work, after a round that is not counted."""
    for cost in costs:
        cost()
    turns = [[cost() for cost in costs] for _ in range(rounds)]
    return [list(own) for own in zip(*turns, strict=True)]


def least(costs: Sequence[Cost], rounds: int) -> list[float]:
    """Return the least cost of each work."""
    return [min(own) for own in take_turns(costs, rounds)]


def medians(costs: Sequence[Cost], rounds: int) -> list[float]:
    """Return the median cost of each work."""
    return [median(own) for own in take_turns(costs, rounds)]
