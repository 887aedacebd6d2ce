"""`stepwell retention`: policies are set, shown, previewed and taken back, and a request reaches the worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from typer.testing import CliRunner

from stepwell_deploy.cli.app import app
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_ingestor.removal.worker import RemovalWorker
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.logs import warnings_alone
from support.servers.sdk import serving

pytestmark = pytest.mark.one_dsn

RUN: Final = RunPath("me", "digits", "one")


@pytest.fixture
def url(chdb_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with warnings_alone(), serving(chdb_store) as url:
        monkeypatch.setenv("STEPWELL_BASE_URL", url)
        yield url


def stepwell(*arguments: str) -> str:
    """Return the output of a command that succeeds."""
    result = CliRunner().invoke(app, ["retention", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def stepwell_json(*arguments: str) -> Any:
    """Return the JSON of a command that succeeds."""
    return json.loads(stepwell(*arguments, "--json"))


@pytest.mark.usefixtures("url")
def test_a_policy_is_set_carried_out_and_taken_back(chdb_store: Store, tmp_path: Path) -> None:
    RunWriter(chdb_store, RUN).document().numbers("loss", np.arange(1_000), np.arange(1_000) * 1.0)
    assert "no policy" in stepwell("show", "me/digits")
    with pytest.raises(ServiceRefusedError, match="stepwell retention set"):
        CliRunner().invoke(app, ["retention", "run", "me/digits"], catch_exceptions=False)
    with pytest.raises(ServiceRefusedError, match="rollups"):
        stepwell("set", "me/digits", "--raw", "90d", "--rollups", "30d")
    foreseen = stepwell_json("set", "me/digits", "--raw", "90d", "--media", "30d", "--dry-run")
    assert (foreseen["rows"], foreseen["runs"], foreseen["files"]) == (896, 1, 0)
    assert foreseen["tables"]["points_number"]["rows"] == 896
    assert stepwell_json("show", "me/digits")["policy"] is None
    assert "raw 90d, rollups forever, media 30d" in stepwell("set", "me/digits", "--raw", "90d", "--media", "30d")
    assert "896 rows" in stepwell("run", "me/digits", "--dry-run")
    settings = IngestorSettings(retention_settle_seconds=0.0)
    worker = RemovalWorker(settings, chdb_store, MediaStore(str(tmp_path)))
    asyncio.run(worker.make_pass(time.time()))
    asyncio.run(worker.make_pass(time.time()))
    passes = stepwell_json("show", "me/digits")["passes"]
    assert [(made["state"], made["rows"]) for made in passes] == [("done", 896)]
    # A request is carried out before the interval has passed.
    assert "requested" in stepwell("run", "me/digits")
    asyncio.run(worker.make_pass(time.time() + 1))
    states = [made["state"] for made in stepwell_json("show", "me/digits")["passes"]]
    assert sorted(states) == ["done", "done", "requested"]
    assert "removed 896 rows" in stepwell("show", "me/digits")
    assert "everything is kept" in stepwell("unset", "me/digits")
    assert stepwell_json("show", "me/digits")["policy"] is None
    actions = "SELECT action, actor, project FROM {db}.audit ORDER BY time"
    for _ in range(100):
        found = [row["action"] for row in chdb_store.query(actions).to_pylist()]
        if len(found) == 3:
            break
        time.sleep(0.05)
    assert found == ["retention.set", "retention.run", "retention.set"]
    result = CliRunner().invoke(app, ["history", str(RUN), "-k", "loss"], catch_exceptions=False)
    assert "rows before step 896 are removed" in result.output
    target = tmp_path / "one.parquet"
    result = CliRunner().invoke(app, ["export", str(RUN), "-o", str(target)], catch_exceptions=False)
    assert "rows before step 896 are removed" in result.output
