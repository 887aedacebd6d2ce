"""The faults of a seed: actions on processes, with their times."""

from __future__ import annotations

import random
from typing import Final, Literal, NamedTuple

from reliability.faults.workload import is_launch

Action = Literal["kill", "strike", "pause", "terminate", "reset", "delete"]
"""`strike` kills the engine at the moment it has recorded an insert's token; the other names are self-explanatory."""

# (action, part, weight, minimum and maximum seconds). The session timeout of the consumer group is 2 s: pauses of an
# ingestor exceed it, so that it resumes after its partitions were reassigned.
_KINDS: Final[tuple[tuple[Action, str, int, float, float], ...]] = (
    ("kill", "ingestor", 6, 0.0, 2.0),
    ("pause", "ingestor", 4, 0.3, 5.0),
    ("terminate", "ingestor", 1, 0.0, 0.0),
    ("kill", "engine", 3, 0.0, 2.0),
    ("strike", "engine", 3, 0.0, 2.0),
    ("pause", "engine", 1, 0.2, 2.0),
    ("kill", "broker", 1, 0.0, 2.0),
    ("pause", "broker", 1, 0.3, 4.0),
    ("kill", "query", 1, 0.0, 1.0),
    ("kill", "gateway", 5, 0.0, 1.5),
    ("pause", "gateway", 2, 0.3, 5.0),
    ("terminate", "gateway", 1, 0.0, 0.0),
    ("kill", "trainer", 6, 0.0, 0.0),
    ("pause", "trainer", 2, 0.2, 2.0),
    ("reset", "broker", 2, 0.0, 0.0),
    ("reset", "engine", 3, 0.0, 0.0),
)
# Added for the ranks of a launch: one of them fails, or all are restarted together, as by `torchrun`.
_LAUNCH_KINDS: Final[tuple[tuple[Action, str, int, float, float], ...]] = (
    ("kill", "trainer", 18, 0.0, 0.0),
    ("kill", "launch", 3, 0.0, 0.0),
)
_FAULTS: Final = (10, 16)
_LAUNCH_FAULTS: Final = (16, 24)
# So many deletions come among the other faults of a seed, by their own draw: schedules without them stay as they were.
_DELETIONS: Final = (0, 0, 1, 1, 2)
_LEAST_GAP_SECONDS: Final = 0.05
_MOST_GAP_SECONDS: Final = 1.2


class Fault(NamedTuple):
    """After `gap` seconds, do `action` to a part (`number` chooses among several) for `seconds`."""

    gap: float
    action: Action
    part: str
    number: int
    seconds: float

    def __str__(self) -> str:
        return f"+{self.gap:.2f}s {self.action} {self.part}{self.number} {self.seconds:.1f}s"


def faults(seed: int) -> list[Fault]:
    """Return the faults of a seed, in their order."""
    draw = random.Random(f"{seed} faults")
    kinds = _KINDS + _LAUNCH_KINDS if is_launch(seed) else _KINDS
    weights = [weight for _, _, weight, _, _ in kinds]
    found = []
    for _ in range(draw.randint(*(_LAUNCH_FAULTS if is_launch(seed) else _FAULTS))):
        action, part, _, least, most = draw.choices(kinds, weights)[0]
        gap = draw.uniform(_LEAST_GAP_SECONDS, _MOST_GAP_SECONDS)
        found.append(Fault(gap, action, part, draw.randrange(1_000), draw.uniform(least, most)))
    return _with_deletions(seed, found)


def _with_deletions(seed: int, found: list[Fault]) -> list[Fault]:
    """Add the deletions of a seed's runs: of an odd number, the sessions that run are killed after it."""
    draw = random.Random(f"{seed} deletions")
    for _ in range(draw.choice(_DELETIONS)):
        gap = draw.uniform(_LEAST_GAP_SECONDS, _MOST_GAP_SECONDS)
        # Early, so that most is logged after it.
        found.insert(draw.randrange(len(found) // 3), Fault(gap, "delete", "run", draw.randrange(1_000), 0.0))
    return found
