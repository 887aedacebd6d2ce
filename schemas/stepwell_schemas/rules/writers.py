"""The writers of a key: which one is shown where a reader names none, and the order in which they are listed.

Several processes may write one run, each under its writer's name; the tables keep their values apart. The *primary*
writer of a key of a run is the unnamed one if it logged the key, otherwise the first rank, otherwise the writer that
logged the key first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

UNNAMED: Final = ""
FIRST_RANK: Final = "rank0"

_DIGITS: Final = re.compile(r"([0-9]+)")


def primary_writer(first_versions: Mapping[str, int]) -> str:
    """Return the primary of the writers of a key; each has the version of the first row in which it logged the key."""
    return min(first_versions, key=lambda name: (name != UNNAMED, name != FIRST_RANK, first_versions[name], name))


def primary_sql(writer: str, first_version: str) -> str:
    """Return the SQL of `primary_writer`: an aggregate of the columns of one key, which have a row for each writer."""
    rank = f"{writer} != '{UNNAMED}', {writer} != '{FIRST_RANK}', {first_version}, {writer}"
    return f"argMin({writer}, ({rank}))"


def number_writer(writer: str, number: int) -> str:
    """Return the name of the `number`-th process that has the same writer name: `rank0`, `rank0.2`, `rank0.3`."""
    return writer if number == 1 else f"{writer}.{number}"


def writer_order(name: str) -> tuple[tuple[int, str, str], ...]:
    """Return a sort key of writers' names that compares numbers in them by value: `rank2` is before `rank10`."""
    parts = enumerate(_DIGITS.split(name))
    return tuple(_number_order(part) if index % 2 else (0, "", part) for index, part in parts)


def _number_order(digits: str) -> tuple[int, str, str]:
    # Of numbers without leading zeros, the longer one is larger.
    significant = digits.lstrip("0")
    return len(significant), significant, digits
