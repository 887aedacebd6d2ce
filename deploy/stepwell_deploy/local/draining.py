"""Shutdown of a running stack: each part in order, and within its time limit."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.local.broker_thread import BrokerThread
from stepwell_deploy.local.exit_deadline import (
    BROKER_SECONDS,
    CLOSE_SECONDS,
    SERVICE_END_SECONDS,
    SERVICE_SECONDS,
    ExitDeadline,
)
from stepwell_deploy.local.stack_supervisor import StackSupervisor
from stepwell_gateway.event_log import EventLog
from stepwell_query.api.server import Server
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.clickhouse.store import Store


class RunningStack(NamedTuple):
    """The running parts of a stack."""

    server: Server
    serving: asyncio.Task[None]
    log: EventLog
    audit: AuditLog
    supervisor: StackSupervisor
    broker: BrokerThread
    clickhouse: ClickHouseHttp | None
    store: Store


async def drain(stack: RunningStack, deadline: ExitDeadline) -> None:
    """Stop a stack. If a part could not be drained, the process ends here, since its threads can't be joined.

    The service and the ingestor stop concurrently. The broker stops after them, since the ingestor commits to it.
    """
    served, stored = await asyncio.gather(_end_service(stack), stack.supervisor.stop_ingestor())
    # After the last request that writes.
    await stack.log.close()
    clean = await _end_broker(stack.broker)
    for part, drained in (("service", served), ("ingestor", stored), ("broker", clean)):
        if not drained:
            deadline.not_drained(part)
    deadline.call("clickhouse", lambda: _close(stack), CLOSE_SECONDS)
    deadline.exit_if_incomplete()


async def _end_service(stack: RunningStack) -> bool:
    stack.server.should_exit = True
    await asyncio.wait({stack.serving}, timeout=SERVICE_SECONDS + SERVICE_END_SECONDS)
    return stack.serving.done()


async def _end_broker(broker: BrokerThread) -> bool:
    ending = asyncio.ensure_future(broker.end(BROKER_SECONDS))
    # A restart in progress ends first, within its poll interval.
    await asyncio.wait({ending}, timeout=BROKER_SECONDS + CLOSE_SECONDS / 2)
    return ending.done() and ending.exception() is None and ending.result()


def _close(stack: RunningStack) -> None:
    if stack.clickhouse is not None:
        stack.clickhouse.stop()
    # After the last statement that is recorded.
    stack.audit.close()
    stack.store.close()
