"""The calls of a seed: each call is a function of the seed, its writer and its number only.

The training script, which makes the calls, and the model, which predicts the stored data, share this module and no
other code.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final, NamedTuple

RANKS: Final = 2
SOLO_CALLS: Final = 1_200
RANK_CALLS: Final = 600
LAUNCHED: Final = 8
"""Ranks of a launch, on one machine."""

LAUNCHED_CALLS: Final = 800
RANK_STRIDE: Final = 5
"""Steps between calls of the ranks: far enough that rollups of two levels close."""

# Of so many seeds, one is a launch.
_KINDS: Final = 5

FOREIGN_EVENTS: Final = 300
_ODD_FLOATS: Final = (math.nan, math.inf, -math.inf, -0.0, 5e-324)
_TEXTS: Final = ("", "ünï 🚀", "a\nb", "x" * 3_000)


class Call(NamedTuple):
    """One `log()` call. `jump`: the requested step relative to the current one; `at`: an absolute step; or None."""

    data: dict[str, Any]
    jump: int | None = None
    at: int | None = None
    commit: bool | None = None


class Writer(NamedTuple):
    """A training process: its run, its writer's name, the number of its calls, and the ranks of its launch, if any."""

    run: str
    name: str
    calls: int
    launched: int = 0

    def call(self, seed: int, number: int) -> Call:
        """Return the call of a number."""
        if self.launched:
            return _launched_call(seed, self.name, number)
        return _rank_call(seed, self.name, number) if self.name else _solo_call(seed, number)

    @property
    def launch(self) -> dict[str, str]:
        """The variables that `torchrun` sets for a rank of one node."""
        if not self.launched:
            return {}
        rank, ranks = self.name.removeprefix("rank"), str(self.launched)
        return {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": ranks,
            "LOCAL_WORLD_SIZE": ranks,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "29500",
            "TORCHELASTIC_RUN_ID": "none",
        }


def is_launch(seed: int) -> bool:
    """Return whether the training processes of a seed are the ranks of one launch, which share a machine."""
    return seed % _KINDS == 1


def writers(seed: int) -> list[Writer]:
    """Return the training processes of a seed."""
    if is_launch(seed):
        return [Writer("launch", f"rank{n}", LAUNCHED_CALLS, LAUNCHED) for n in range(LAUNCHED)]
    return [Writer("solo", "", SOLO_CALLS), *(Writer("ranks", f"rank{n}", RANK_CALLS) for n in range(RANKS))]


def _solo_call(seed: int, number: int) -> Call:
    """Return a call with any kind of value, merges at one step, jumps, earlier steps, and keys in another case."""
    draw = random.Random(f"{seed} solo {number}")
    data: dict[str, Any] = {"call": number, "Loss" if draw.random() < 0.1 else "loss": draw.random()}
    if draw.random() < 0.3:
        data["mixed"] = draw.choice([draw.random(), draw.choice(_TEXTS), True, [number, None], *_ODD_FLOATS])
    if draw.random() < 0.2:
        data["big"] = 2**60 + number
    if draw.random() < 0.2:
        data["deep"] = {"a": number, "b": {"c": bool(number % 2)}}
    jump = draw.choices([None, 0, draw.randrange(1, 5), -draw.randrange(1, 9)], [85, 5, 5, 5])[0]
    return Call(data, jump=jump, commit=draw.choices([None, False, True], [85, 10, 5])[0])


def _rank_call(seed: int, name: str, number: int) -> Call:
    """Return a call with interleaved steps: keys of this writer, and a key that all writers use."""
    rank = int(name.removeprefix("rank"))
    draw = random.Random(f"{seed} {name} {number}")
    step = (number * RANKS + rank) * RANK_STRIDE
    return Call({f"{name}/loss": draw.random(), "shared": number + rank / 10}, at=step)


def _launched_call(seed: int, name: str, number: int) -> Call:
    """Return a call with the keys and the step that the other ranks have, too."""
    draw = random.Random(f"{seed} {name} {number}")
    data: dict[str, Any] = {"loss": draw.random(), "number": number + int(name.removeprefix("rank")) / 10}
    if draw.random() < 0.1:
        data["state"] = f"{name} at {number}"
    return Call(data, at=number * RANK_STRIDE)


class ForeignEvent(NamedTuple):
    """A message of a foreign producer: its content, its number in its session, and how often it is sent."""

    number: int
    data: dict[str, float]
    poison: bool
    times: int


def foreign_event(seed: int, number: int) -> ForeignEvent:
    """Return the foreign producer's event with a number; some are invalid, some are sent several times."""
    draw = random.Random(f"{seed} foreign {number}")
    return ForeignEvent(
        number,
        {"f": draw.random(), "number": float(number)},
        poison=draw.random() < 0.05,
        times=draw.choices([1, 2, 3], [80, 15, 5])[0],
    )
