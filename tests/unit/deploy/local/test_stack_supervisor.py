"""Supervision of fakes: restarts, holds while the disk is full, and the end with ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from stepwell_deploy.errors import BrokerError, PortInUseError, StackError
from stepwell_deploy.local import stack_supervisor
from stepwell_deploy.local.disk_space import DiskThresholds
from stepwell_deploy.local.stack_supervisor import StackSupervisor
from stepwell_query.readiness import PartReport

pytestmark = pytest.mark.anyio

ENOUGH, RESERVED, FULL = 1_000, 90, 40


class FakeBroker:
    """A fake broker and its thread. `failures` are the exceptions of its next starts."""

    def __init__(self) -> None:
        self.kafka = self
        self.exit_code: int | None = None
        self.failures: list[Exception] = []
        self.calls: list[str] = []
        self.log_file = Path("broker.log")
        self.bootstrap_servers = "127.0.0.1:1"

    async def restart(self) -> None:
        self.calls.append("start")
        if self.failures:
            raise self.failures.pop(0)
        self.exit_code = None

    async def stop(self, _: float) -> bool:
        self.calls.append("stop")
        self.exit_code = None
        return True


class FakeIngestor:
    """A fake ingestor that runs until it is stopped or made to fail."""

    def __init__(self) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        await self.end

    async def stop(self) -> bool:
        self.end.set_result(None)
        await asyncio.sleep(0)
        return True


class FakeStore:
    """A fake store that records its statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def command(self, statement: str) -> None:
        self.statements.append(statement)


class FakeReadiness:
    """A fake readiness of ClickHouse with a settable report."""

    def __init__(self) -> None:
        self.clickhouse = PartReport("clickhouse", "up")

    async def parts(self) -> list[PartReport]:
        return [self.clickhouse]


class World:
    """A supervisor of fakes."""

    def __init__(self) -> None:
        self.broker: Any = FakeBroker()
        self.store: Any = FakeStore()
        self.readiness: Any = FakeReadiness()
        self.ingestors: list[FakeIngestor] = []
        self.free = ENOUGH
        self.supervisor = StackSupervisor(
            cast("Any", self.broker),
            self._make_ingestor,
            cast("Any", self.store),
            Path(),
            DiskThresholds(200, 100),
            free=lambda _: self.free,
        )
        self.task: asyncio.Task[None] | None = None

    def _make_ingestor(self) -> FakeIngestor:
        self.ingestors.append(FakeIngestor())
        return self.ingestors[-1]

    def states(self) -> tuple[str, ...]:
        return tuple(part.state for part in self.supervisor.parts())

    def reasons(self) -> tuple[str, ...]:
        return tuple(part.reason for part in self.supervisor.parts())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - plain state is polled
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_DISK_SECONDS", "_PROBE_SECONDS", "_LOOP_SECONDS", "_ENGINE_SECONDS"):
        monkeypatch.setattr(stack_supervisor, name, 0.001)

    async def answers(_: str) -> bool:
        return True

    monkeypatch.setattr(stack_supervisor, "broker_answers", answers)


@asynccontextmanager
async def supervised() -> AsyncIterator[World]:
    """Supervise fakes for the block."""
    world = World()
    world.supervisor.start()
    world.task = asyncio.create_task(world.supervisor.watch(world.readiness))
    try:
        yield world
    finally:
        world.task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await world.task


async def test_a_broker_that_ended_is_started_until_it_comes_up() -> None:
    async with supervised() as world:
        world.broker.failures = [PortInUseError("h", 1, ""), BrokerError("x")]
        world.broker.exit_code = -9
        await world.until(lambda: world.reasons() == ("port_in_use", ""))
        await world.until(lambda: world.reasons() == ("did_not_start", ""))
        await world.until(lambda: world.states() == ("up", "up"))
        assert world.broker.calls == ["start"] * 3
        assert world.supervisor.parts()[0].restarts == 3


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), None])
async def test_an_ingestor_that_ended_is_started_again(error: Exception | None) -> None:
    async with supervised() as world:
        end = world.ingestors[0].end
        end.set_result(None) if error is None else end.set_exception(error)
        await world.until(lambda: world.states() == ("up", "down"))
        assert world.reasons() == ("", type(error).__name__ if error else "ended")
        await world.until(lambda: world.states() == ("up", "up"))
        assert len(world.ingestors) == 2
        assert world.broker.calls == []


async def test_without_space_first_the_ingestor_stops_and_then_the_broker() -> None:
    async with supervised() as world:
        world.free = RESERVED
        await world.until(lambda: world.states() == ("up", "held"))
        assert world.ingestors[0].end.done()
        await world.until(lambda: world.store.statements == ["SYSTEM STOP MERGES"])
        world.free = FULL
        await world.until(lambda: world.states() == ("held", "held"))
        assert world.broker.calls == ["stop"]
        world.free = ENOUGH
        await world.until(lambda: world.states() == ("up", "up"))
        assert world.broker.calls == ["stop", "start"]
        assert len(world.ingestors) == 2
        assert world.store.statements == ["SYSTEM STOP MERGES", "SYSTEM START MERGES"]


async def test_a_broker_that_ended_is_not_started_without_space() -> None:
    async with supervised() as world:
        world.free = FULL
        world.broker.exit_code = 1
        await world.until(lambda: world.states()[0] == "held")
        calls = len(world.broker.calls)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert "start" not in world.broker.calls
        assert len(world.broker.calls) == calls


async def test_clickhouse_that_only_errs_ends_the_stack_and_one_that_is_slow_does_not() -> None:
    async with supervised() as world:
        assert world.task is not None
        world.readiness.clickhouse = PartReport("clickhouse", "down", "no_answer")
        done, _ = await asyncio.wait({world.task}, timeout=0.1)
        assert not done
        world.readiness.clickhouse = PartReport("clickhouse", "down", "StoreRejectedError")
        await world.until(world.task.done)
        error = world.task.exception()
        assert isinstance(error, ExceptionGroup)
        assert error.subgroup(StackError) is not None


async def test_stopping_says_whether_everything_was_stored() -> None:
    async with supervised() as world:
        assert await world.supervisor.stop_ingestor()
        assert await world.supervisor.stop_ingestor()
    async with supervised() as world:
        world.ingestors[0].end.set_exception(ValueError("x"))
        await asyncio.sleep(0)
        assert world.task is not None
        world.task.cancel()
        assert not await world.supervisor.stop_ingestor()
