"""Digests of the batches of a session, used to compare a journal with the log.

A tally does not depend on the division of records into batches, nor on the order of keys and blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrivals import NO_GAPS, Gaps, arrive
from stepwell_schemas.events.models import Block, Event, LogBatch
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, NO_STEP

UInt64s = NDArray[np.uint64]

_DIGEST_MASK: Final = 2**64 - 1
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class Tally(NamedTuple):
    """Number of points of a key and kind, and a digest of sequence numbers, timestamps, requested steps and values."""

    points: int = 0
    digest: int = 0

    def plus(self, other: Tally) -> Tally:
        """Return the sum of two tallies."""
        return Tally(self.points + other.points, (self.digest + other.digest) & _DIGEST_MASK)


Tallies = dict[tuple[str, str], Tally]
"""Tallies by key, as it was logged, and kind."""


@dataclass
class SessionTally:
    """The tallies of the records [first, following) of a session; records from `end` on are ignored.

    `first` is the sequence number of the record that arrived first, None before any record. `gaps`: the records that
    have not arrived, by the ingestor's rule. `earlier`: the tallies of records before `first`, which arrived later.
    """

    end: int
    first: int | None = None
    following: int = 0
    tallies: Tallies = field(default_factory=dict)
    gaps: Gaps = NO_GAPS
    earlier: Tallies = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Add an event of the session; repeated records count once."""
        if event.sequence < 0:
            return
        if self.first is None:
            self.first = self.following = min(event.sequence, self.end)
            self.gaps = ((0, self.first),) if self.first else NO_GAPS
        records = min(event.sequence + event.records, self.end) - event.sequence
        if records <= 0:
            return
        arrival = arrive(self.following, self.gaps, event.sequence, records)
        self.following, self.gaps = arrival.following, arrival.gaps
        if not isinstance(event, LogBatch):
            return
        for part in arrival.parts:
            first, end = event.sequence + part.first, event.sequence + part.end
            # No gap reaches over the first record.
            merge(self.tallies if first >= self.first else self.earlier, tally_batch(event, first, end))

    def all_tallies(self) -> Tallies:
        """Return the tallies of all records, of which some may be from before `first`."""
        tallies = dict(self.tallies)
        merge(tallies, self.earlier)
        return tallies


def merge(into: Tallies, more: Mapping[tuple[str, str], Tally]) -> None:
    """Add tallies to `into`."""
    for name, one in more.items():
        into[name] = into.get(name, Tally()).plus(one)


def tally_batch(batch: LogBatch, first: int, end: int) -> Tallies:
    """Return the tallies of a batch's records with sequence numbers in [first, end)."""
    numbers = batch.sequence + np.arange(batch.rows, dtype=np.int64)
    row_hashes = _row_hashes(batch, numbers)
    wanted = (numbers >= first) & (numbers < end)
    tallies: Tallies = {}
    for block in batch.blocks:
        rows = np.arange(batch.rows) if block.rows is None else np.frombuffer(block.rows, "<u4").astype(np.int64)
        # A block with row numbers outside the batch is a dead letter and not stored.
        if not len(rows) or int(rows.max()) >= batch.rows:
            continue
        kept = wanted[rows]
        points = int(kept.sum())
        if not points:
            continue
        hashes = _mixed(row_hashes[rows] + _value_bits(block, len(rows)))[:, kept]
        for key, digest in zip(block.keys, hashes.sum(axis=1, dtype=np.uint64).tolist(), strict=True):
            merge(tallies, {(key, str(block.kind)): Tally(points, digest)})
    return tallies


def _row_hashes(batch: LogBatch, numbers: NDArray[np.int64]) -> UInt64s:
    asked = np.full(batch.rows, NO_STEP) if batch.steps is None else np.frombuffer(batch.steps, "<i8")
    default = np.full(batch.rows, COMMIT_DEFAULT, np.int8)
    commits = default if batch.commits is None else np.frombuffer(batch.commits, np.int8)
    columns: tuple[Any, ...] = (np.frombuffer(batch.timestamps, "<i8"), asked, commits, numbers)
    hashes = np.zeros(batch.rows, np.uint64)
    for column in columns:
        hashes = _mixed(hashes + column.astype(np.int64).view(np.uint64))
    return hashes


def _value_bits(block: Block, rows: int) -> UInt64s:
    """Return uint64[keys, rows]: the bits of numbers, combined with exact texts; hashes of texts."""
    if block.kind is Kind.NUMBER:
        bits = np.frombuffer(block.packed, "<u8").copy()
        for exact in block.exact:
            bits[exact.index] ^= np.uint64(_text_hash(exact.text))
    elif block.kind is Kind.BOOL:
        bits = np.frombuffer(block.packed, np.uint8).astype(np.uint64)
    else:
        bits = np.array([_text_hash(text) for text in block.texts], np.uint64)
    return bits.reshape(len(block.keys), rows)


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(values: UInt64s) -> UInt64s:
    """Mix the bits of each value (the finalizer of SplitMix64), so that sums of different sets of values differ."""
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed
