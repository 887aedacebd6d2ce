"""`stepwell sql`: through the service, or directly at the DSN if no service is up, in every output format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from stepwell_deploy.cli.app import app
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.logs import warnings_alone
from support.servers.sdk import serving
from support.servers.stack import Stack

STATEMENT = "SELECT step, value FROM numbers WHERE key = {key:String} ORDER BY step"


@pytest.fixture(params=["service", "dsn"])
def asked(
    request: pytest.FixtureRequest, stack: Stack, open_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The command's environment: a running service, or none and ClickHouse's DSN."""
    store = open_store("http")
    RunWriter(store, RunPath("me", "digits", "one")).document().numbers("it's", range(3), [1.0, float("nan"), 0.25])
    if request.param == "service":
        # In the process of the command, whose output is captured.
        with warnings_alone(), serving(store) as url:
            monkeypatch.setenv("STEPWELL_BASE_URL", url)
            yield
        return
    monkeypatch.delenv("STEPWELL_BASE_URL", raising=False)
    # Independent of services at the default address: no service answers at this one.
    monkeypatch.setattr("stepwell_deploy.cli.commands.sql.open_service", lambda _: ServiceClient("http://127.0.0.1:9"))
    monkeypatch.setenv("STEPWELL_CLICKHOUSE_DSN", stack.dsn("http"))
    monkeypatch.setenv("STEPWELL_CLICKHOUSE_DATABASE", store.database)
    yield


def ask(*arguments: str) -> bytes:
    done = CliRunner().invoke(app, ["sql", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


@pytest.mark.usefixtures("asked")
def test_an_answer_comes_in_every_form(tmp_path: Path) -> None:
    given = (STATEMENT, "--param", "key=it's")
    assert ask(*given).decode().split() == ["step", "value", "0", "1", "1", "NaN", "2", "0.25"]
    assert json.loads(ask(*given, "--json"))["rows"] == [[0, 1.0], [1, "NaN"], [2, 0.25]]
    assert ask(*given, "--format", "csv") == b'"step","value"\n0,1\n1,nan\n2,0.25\n'
    assert [json.loads(line)["step"] for line in ask(*given, "--format", "ndjson").splitlines()] == [0, 1, 2]
    assert pa.ipc.open_stream(ask(*given, "--format", "arrow")).read_all().column("step").to_pylist() == [0, 1, 2]
    assert pyarrow.parquet.read_table(io.BytesIO(ask(*given, "--format", "parquet"))).num_rows == 3
    file = tmp_path / "answer.txt"
    assert ask(*given, "--output", str(file)) == b""
    assert file.read_text().split()[:2] == ["step", "value"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    "statement", ["SELEC 1", "DROP TABLE numbers", "SELECT * FROM system.processes", "SELECT nope"]
)
def test_what_may_not_be_asked_is_refused_either_way(statement: str) -> None:
    with pytest.raises(ServiceRefusedError):
        ask(statement)
