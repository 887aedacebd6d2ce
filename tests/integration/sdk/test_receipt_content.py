"""Receipts say whether what is stored is what was logged: through broker, ingestor and service, and with faults."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import prometheus_client
import pytest
from structlog.testing import capture_logs

import stepwell
from stepwell.delivery.stored_content import StoredSession, is_same, parse_session
from stepwell.delivery.sync import sync
from stepwell.settings import ProducerSettings
from stepwell_ingestor.planner import log_batches
from stepwell_ingestor.planner.blocks import block_values
from support.servers.sdk import Served, eventually

_KILLED = """
import os, signal, sys, stepwell
run = stepwell.init(id="run", resume="allow")
for row in range(int(sys.argv[1])):
    run.log({"row": row, "text": str(row)})
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
print(run.finish(quiet=True).content_same)
"""


def log_some(sdk: Served, run_id: str = "run", rows: int = 40, **settings: Any) -> stepwell.Receipt:
    """Log rows of many types, with conflicts and merged rows, and return the receipt."""
    with stepwell.init(id=run_id, settings={**sdk.settings, "quiet": True, **settings}) as run:
        for row in range(rows):
            run.log({"loss": 1 / (row + 1), "count": row, "good": row % 2 == 0, "text": f"row {row}"})
        run.log({"big": 2**53 + 1, "bigger": 10**40, "nan": math.nan, "zero": -0.0, "none": None}, commit=False)
        run.log({"list": [1, math.nan, "é"], "array": np.arange(3.0), "Loss": 3}, step=3)
        run.log({"loss": 7, "LOSS": 8, "html": stepwell.Html("text", inject=False)}, step=rows + 9)
        run.log({})
        return run.finish()


def accounts(sdk: Served, run_id: str = "run") -> dict[str, StoredSession]:
    """Return the service's accounts of the run's own sessions."""
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/runs/me/p/{run_id}/sessions"
    answer = httpx.get(url)
    return {one["session"]: parse_session(one) for one in answer.json()["sessions"]} if answer.is_success else {}


def test_a_receipt_says_that_the_content_is_the_same(sdk: Served) -> None:
    receipt = log_some(sdk)
    assert receipt.conflicts == 1
    assert (receipt.stored, receipt.content_same, receipt.moved) == (receipt.points, True, 0)
    assert all(is_same(account) for account in accounts(sdk).values())


def wrong_values(right: Callable[..., Any]) -> Callable[..., Any]:
    """Return a planner of values that changes one bit of one value of a batch."""

    def altered(*arguments: Any) -> Any:
        values, exact = right(*arguments)
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            values = values.copy()
            values.view(np.uint64)[-1] ^= np.uint64(1)
        return values, exact

    return altered


def without_one_key(stored_keys: Callable[..., Any]) -> Callable[..., Any]:
    """Return a planner of keys that loses one key of a block."""

    def fewer(*arguments: Any) -> Any:
        stored = stored_keys(*arguments)
        return stored if len(stored.keys) < 2 else stored._replace(places=stored.places[1:], keys=stored.keys[1:])

    return fewer


@pytest.mark.parametrize(("function", "fault"), [("block_values", wrong_values), ("_stored_keys", without_one_key)])
def test_a_value_that_is_stored_otherwise_is_reported(
    sdk: Served, monkeypatch: pytest.MonkeyPatch, function: str, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(log_batches, function, fault(getattr(log_batches, function)))
    with capture_logs() as lines:
        receipt = log_some(sdk)
        # The ingestor reports a flush after it is stored.
        eventually(lambda: {line["event"] for line in lines if line["log_level"] == "error"}, {"content_differs"})
    # The counts alone show nothing.
    assert (receipt.pending, receipt.dead_letters, receipt.stored) == (0, 0, receipt.points)
    assert receipt.content_same is False
    eventually(lambda: prometheus_client.REGISTRY.get_sample_value("stepwell_ingestor_content_alarm"), 1)


def test_sessions_that_are_killed_and_resumed_have_their_content(sdk: Served) -> None:
    sdk.run(_KILLED, "300", "kill", code=-signal.SIGKILL)
    out, _ = sdk.run(_KILLED, "100", "finish")
    assert out.split() == ["True"]
    eventually(lambda: len(sdk.numbers("row")), 400)
    rows = [account for account in accounts(sdk).values() if account.log_rows >= 100 and account.points]
    assert sorted(account.log_rows for account in rows if account.points == 2 * account.log_rows) == [100, 300]
    assert [is_same(account) for account in accounts(sdk).values()] == [True] * len(accounts(sdk))


def test_rows_that_the_service_counts_are_moved_and_not_different(sdk: Served) -> None:
    log_some(sdk, rows=20)
    # Without a service and without journals, the session can't know where the run stands.
    away = {"base_url": "http://127.0.0.1:9", "dir": str(sdk.folder / "elsewhere")}
    offline = stepwell.init(id="run", resume="allow", mode="offline", settings={**sdk.settings, "quiet": True, **away})
    for row in range(5):
        offline.log({"late": row})
    receipt = offline.finish()
    assert (receipt.content_same, receipt.stored) == (None, None)
    (result, *_) = sync([sdk.folder / "elsewhere"], settings=ProducerSettings(**sdk.settings))
    assert (result.content_same, result.removed) == (True, True)
    assert [step for step, _ in sdk.numbers("late")] == [30, 31, 32, 33, 34]
    assert sum(account.moved_rows for account in accounts(sdk).values()) == 5


def test_sync_keeps_a_journal_that_is_stored_otherwise(sdk: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with stepwell.init(id="run", mode="offline", settings={**sdk.settings, "quiet": True}) as run:
        for row in range(9):
            run.log({"row": float(row)})
    monkeypatch.setattr(log_batches, "block_values", wrong_values(block_values))
    results = sync([sdk.folder], settings=ProducerSettings(**sdk.settings))
    (kept,) = (result for result in results if not result.removed)
    assert (kept.run, kept.error, kept.path.exists()) == ("me/p/run", "", True)
    assert json.loads(json.dumps(kept.as_json()))["content_same"] is False
