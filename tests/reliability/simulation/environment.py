"""A schedule whose environment changes: logs that lose records or are replaced, lost offsets, and restored tables.

What the log holds at the end, or a sender could send again, must be stored once at its step. What is gone must be
counted as missing. Each value is logged once, at one step and under a key of its session (see `senders`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reliability.simulation.broker import Broker
from reliability.simulation.ingestors import Ingestors
from reliability.simulation.promise import check, next_sequences
from reliability.simulation.reference import Differences
from reliability.simulation.senders import draw_senders
from reliability.simulation.store import SimulatedStore
from reliability.simulation.world import SESSION_SECONDS, Faults, World

_SIZES: Final = ((2, 6), (2, 8), (4, 16), (10, 32))
_SETTLE_SECONDS: Final = 180.0
_QUIET_SECONDS: Final = 10 * SESSION_SECONDS
_LOOK_SECONDS: Final = 0.25
_LAST_SECONDS: Final = 2 * SESSION_SECONDS
# Tables that are replaced are away for longer than an ingestor relies on a position that it has read.
_RESTORE_SECONDS: Final = (2.5, 5.0)


class ChangingEnvironment:
    """Faults of processes and requests, and changes of the environment, of which a schedule has some kinds."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        store: SimulatedStore,
        ingestors: Ingestors,
        logged: Sequence[Mapping[str, Any]],
    ) -> None:
        self._world = world
        self._broker = broker
        self._store = store
        self._ingestors = ingestors
        self._logged = logged
        self._partitions = list(broker.logs)
        self._senders = draw_senders(world.rng, len(self._partitions))
        self._acknowledge = world.rng.choice((0.5, 0.9, 1.0))
        self._changes = _drawn_changes(world, self._all_changes())

    async def run(self) -> None:
        """Let the log grow and the environment change; then wait until everything has recovered."""
        rng = self._world.rng
        self._world.faults = Faults.drawn(rng) if rng.random() < 0.6 else Faults()
        self._ingestors.start()
        left = rng.randint(*rng.choice(_SIZES))
        for _ in range(rng.randint(3, 6 + left // 4)):
            for _ in range(min(left, rng.choice((0, 1, 3, 10)))):
                self._send()
                left -= 1
            draw = rng.random()
            if draw < 0.4 and self._changes:
                self._change()
            elif draw < 0.7:
                self._ingestors.strike()
            self._ingestors.start_if_none()
            await asyncio.sleep(rng.expovariate(3.0 if rng.random() < 0.7 else 0.3))
        await self._recover()

    def compare(self) -> Differences:
        """Compare the tables with what the log holds and what was sent."""
        self._world.counts["changing schedules"] = 1
        return check(self._store, self._broker, self._senders, self._logged)

    def _send(self) -> None:
        sender = self._world.rng.choice(list(self._senders.values()))
        if self._world.rng.random() < 0.9 or not sender.written:
            sender.log(self._world.rng.randint(1, 5))
        self._append(sender.name, self._acknowledge)

    def _append(self, name: str, acknowledge: float) -> None:
        sender = self._senders[name]
        message = sender.send(self._world.rng, acknowledge)
        if message is not None:
            gap = self._world.rng.choice((0, 0, 0, 1))
            self._broker.logs[self._partitions[sender.partition]].append(message, gap)

    def _change(self) -> None:
        name = self._world.rng.choice(list(self._changes))
        self._world.counts[name] += 1
        self._world.note(name)
        self._changes[name]()

    def _all_changes(self) -> dict[str, Callable[[], None]]:
        rng, broker, store = self._world.rng, self._broker, self._store

        def partition() -> Any:
            return rng.choice(self._partitions)

        def move_offset() -> None:
            where = partition()
            log, present = broker.logs[where], broker.committed[where]
            # The offset that is there, without its plan, looks like that of a flush that has ended.
            last = present.offset if present.plan else log.end
            broker.commit_by_hand(where, rng.choice((log.begin, rng.randint(log.begin, log.end), last)))

        return {
            "tails lost": lambda: broker.logs[partition()].cut(rng.choice((1, 2, 5, 100))),
            "topics recreated": lambda: broker.recreate(forget=rng.random() < 0.7),
            "records expired": lambda: broker.logs[partition()].expire(rng.choice((1, 3, 100))),
            "offsets forgotten": lambda: broker.commit_by_hand(partition(), None),
            "offsets moved": move_offset,
            "stores emptied": lambda: self._replace_tables(store.empty),
            "backups": store.save,
            "stores restored": lambda: self._replace_tables(store.restore),
            "tokens forgotten": lambda: store.forget_tokens(rng.choice((0.5, 1.0))),
        }

    def _replace_tables(self, replace: Callable[[], None]) -> None:
        seconds = self._world.rng.uniform(*_RESTORE_SECONDS)
        self._store.go_away(seconds)
        # Just before requests succeed again.
        self._world.later(seconds - 1e-6, replace)

    async def _recover(self) -> None:
        await asyncio.sleep(max(self._store.away_until - self._world.loop.time(), 0.0))
        self._world.note("recover")
        self._world.faults = Faults()
        # A row after all others makes lost ones of each session visible.
        for sender in self._senders.values():
            sender.log(1)
            while sender.acknowledged < sender.written:
                self._append(sender.name, 1.0)
        await self._settle()
        self._ingestors.kill_all()
        await asyncio.sleep(_QUIET_SECONDS)
        # One that finds everything stored must change nothing.
        self._ingestors.start()
        await asyncio.sleep(_LAST_SECONDS)
        await self._settle()

    async def _settle(self) -> None:
        deadline = self._world.loop.time() + _SETTLE_SECONDS
        while not self._is_stored():
            self._ingestors.start_if_none()
            if self._world.loop.time() > deadline:
                self._world.problems.append(f"not stored within {_SETTLE_SECONDS:g} s")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_stored(self) -> bool:
        if not self._broker.settled():
            # A log that was created again may hold records that the former one lost before they were stored.
            return False
        reached = next_sequences(self._store.tables)
        return all(reached.get(name, 0) >= sender.written for name, sender in self._senders.items())


def _drawn_changes(world: World, changes: dict[str, Callable[[], None]]) -> dict[str, Callable[[], None]]:
    """Return some of the changes; a backup comes with its restoration."""
    chosen = {name: change for name, change in changes.items() if world.rng.random() < 0.35}
    if "stores restored" in chosen:
        chosen["backups"] = changes["backups"]
    return chosen
