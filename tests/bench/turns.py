"""Costs of several works, measured in turns, so that other load of the machine affects all of them equally.

Other load only ever adds to a cost, also to processor time, through caches and memory that are shared; so low costs are
closer to the work's own. The lower quartile of some rounds varied less than their least, which one lucky round decides,
and less than their median. In four runs on a busy machine, ratios of planning, views and lists were up to 14 % from
their middle as quartiles, 29 % as the least, and 25 % as medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
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


def lower_quartiles(costs: Sequence[Cost], rounds: int) -> list[float]:
    """Return the lower quartile of the costs of each work."""
    return [quantiles(own, n=4)[0] for own in take_turns(costs, rounds)]


def medians(costs: Sequence[Cost], rounds: int) -> list[float]:
    """Return the median cost of each work."""
    return [median(own) for own in take_turns(costs, rounds)]
