"""`stepwell export`: runs as files in every format, resumed after a kill, and while runs are logging."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from stepwell_deploy.cli.app import app
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered
from support.fakes.pausing_store import PausingStore
from support.readers.logs import warnings_alone
from support.servers.command import start_stepwell
from support.servers.query import run_url
from support.servers.sdk import serving

RUN: Final = RunPath("me", "digits", "one")
ROWS: Final = 4_000
DEADLINE_SECONDS: Final = 60
POLL_SECONDS: Final = 0.02


@pytest.fixture
def held(chdb_store: Store) -> PausingStore:
    return PausingStore(chdb_store)


@pytest.fixture
def url(held: PausingStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # In the process of the command, whose output is captured.
    with warnings_alone(), serving(held, query_scan_values=1_000) as url:  # type: ignore[arg-type]
        monkeypatch.setenv("STEPWELL_BASE_URL", url)
        yield url
        held.free.set()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The queries of the scans that this process requests."""
    queries: list[Mapping[str, Any]] = []
    plain = ServiceClient.stream

    def noted(client: ServiceClient, path: str, accept: str, parameters: Mapping[str, Any]) -> Any:
        queries.append(parameters)
        return plain(client, path, accept, parameters)

    monkeypatch.setattr(ServiceClient, "stream", noted)
    return queries


@pytest.fixture
def run(chdb_store: Store) -> RunWriter:
    writer = RunWriter(chdb_store, RUN).document(config={"lr": 0.1})
    writer.numbers("loss", range(ROWS), np.random.default_rng(1).normal(size=ROWS))
    return writer.strings("text", [3, 3_500], ["a\nb", 'q"uo,te']).integers("big", [5], [2**80 + 1])


def export(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def said(*arguments: object) -> str:
    """Return the error message of a wrong usage, without its line breaks and frame."""
    return " ".join(export(*arguments, code=2).stderr.replace("│", " ").split())


def scanned(url: str, fmt: str, **query: Any) -> bytes:
    return httpx.get(f"{url}{run_url(RUN, 'scan')}", params={"format": fmt, **query}, timeout=DEADLINE_SECONDS).content


def loss_steps(file: Path) -> list[int]:
    steps: list[int] = pq.read_table(file).column("_step").to_pylist()
    return steps


@pytest.mark.usefixtures("url")
def test_the_values_of_one_writer_are_exported(chdb_store: Store, tmp_path: Path) -> None:
    run = RunWriter(chdb_store, RUN).document()
    for rank in (0, 1):
        run.as_writer(f"rank{rank}").numbers("loss", range(5), np.arange(5.0) + 10 * rank)
    for options, first in (([], 0.0), (["--writer", "rank1"], 10.0)):
        file = tmp_path / f"{first}.parquet"
        export(RUN, "-o", file, *options)
        assert pq.read_table(file).column("loss").to_pylist() == [first + step for step in range(5)]
    for several in ("*", "rank0,rank1"):
        export(RUN, "-o", tmp_path / "several.parquet", "--writer", several, code=2)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("shape", ["wide", "long"])
def test_each_format_is_what_the_service_scans(url: str, tmp_path: Path, shape: str) -> None:
    wanted = pa.ipc.open_stream(scanned(url, "arrow", shape=shape)).read_all()
    for fmt in ("parquet", "arrow", "csv", "ndjson"):
        file = tmp_path / f"one.{fmt}"
        export(RUN, "-o", file, "--shape", shape)
        match fmt:
            case "parquet":
                assert pq.read_table(file).to_pandas().equals(wanted.to_pandas())
            case "arrow":
                assert pa.ipc.open_stream(file.read_bytes()).read_all().to_pandas().equals(wanted.to_pandas())
            case _:
                assert file.read_bytes() == scanned(url, fmt, shape=shape)
        plain = export(RUN, "-o", "-", "--shape", shape, "--format", fmt).stdout_bytes
        assert plain == scanned(url, fmt, shape=shape, page_size=131_072)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "one.arrow", "one.csv", "one.ndjson", "one.parquet"
    ]  # fmt: skip


def test_runs_of_a_project_pass_a_filter_and_are_not_exported_twice(
    url: str, chdb_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del url
    writers = []
    with gathered(chdb_store) as gathering:
        for number in range(20):
            writer = RunWriter(gathering, RunPath("me", "sweep", f"r{number}")).document(config={"lr": number})
            writers.append(writer.numbers("loss", range(3), np.arange(3.0) + number))
    opened = []
    connect = socket.create_connection

    def counted(*arguments: Any, **named: Any) -> socket.socket:
        opened.append(arguments)
        return connect(*arguments, **named)

    monkeypatch.setattr(socket, "create_connection", counted)
    chosen = ("me/sweep", "--filter", "config.lr >= 10", "-o", tmp_path, "--jobs", 3)
    assert "10 runs exported" in export(*chosen).stdout
    assert 1 <= len(opened) <= 4
    files = sorted((tmp_path / "me" / "sweep").iterdir())
    assert [file.name for file in files] == sorted(f"r{number}.parquet" for number in range(10, 20))
    assert pq.read_table(tmp_path / "me" / "sweep" / "r12.parquet").column("loss").to_pylist() == [12.0, 13.0, 14.0]
    assert "0 runs exported" in export(*chosen).stdout
    writers[12].store = chdb_store
    writers[12].numbers("loss", [3], [0.0])
    summary = json.loads(export(*chosen, "--json").stdout)
    assert summary == {"exported": 1, "unchanged": 9, "failed": {}}
    assert loss_steps(tmp_path / "me" / "sweep" / "r12.parquet") == [0, 1, 2, 3]
    # Another request has another content.
    assert json.loads(export(*chosen, "--max-step", 1, "--json").stdout)["exported"] == 10


def killed(held: PausingStore, folder: Path, *arguments: str) -> None:
    """Start an export in a process, and kill it when it has received a part of the rows."""
    held.after = 6
    output = folder.with_name(f"{folder.name}-output")
    command = start_stepwell("export", str(RUN), "-o", str(folder), *arguments, environment=os.environ, folder=output)
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        while not received(folder):
            assert command.process.poll() is None, command.err.read_text()
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
    finally:
        command.kill()
    held.after = None
    held.free.set()
    assert not (folder / "me").exists() or not any((folder / "me").rglob("one.*"))


def received(folder: Path) -> bool:
    # The export discards what an earlier one left, its folder too, before it receives.
    with suppress(FileNotFoundError):
        return sum(part.stat().st_size for part in (folder / ".stepwell-export").rglob("parts/*")) > 10_000
    return False


@pytest.mark.usefixtures("url", "run")
@pytest.mark.parametrize(
    ("fmt", "shape"),
    [
        ("parquet", "wide"),
        ("arrow", "long"),
        ("csv", "wide"),
        ("ndjson", "long"),
        # The spools are those of the formats and shapes above, in other pairs.
        pytest.param("parquet", "long", marks=pytest.mark.long),
        pytest.param("arrow", "wide", marks=pytest.mark.long),
        pytest.param("csv", "long", marks=pytest.mark.long),
        pytest.param("ndjson", "wide", marks=pytest.mark.long),
    ],
)
def test_a_killed_export_goes_on(
    held: PausingStore, sent: list[Mapping[str, Any]], tmp_path: Path, fmt: str, shape: str
) -> None:
    asked = ("--format", fmt, "--shape", shape)
    killed(held, tmp_path / "cut", *asked)
    export(RUN, "-o", tmp_path / "cut", *asked)
    export(RUN, "-o", tmp_path / "whole", *asked)
    assert ["cursor" in query for query in sent] == [True, False]
    one, other = (tmp_path / name / "me" / "digits" / f"one.{fmt}" for name in ("cut", "whole"))
    if fmt == "parquet":
        assert pq.read_table(one).to_pandas().equals(pq.read_table(other).to_pandas())
    elif fmt == "arrow":
        first, second = (pa.ipc.open_stream(file.read_bytes()).read_all().to_pandas() for file in (one, other))
        assert first.equals(second)
    else:
        assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "cut").rglob("parts/*"))


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("fmt", "shape", "change"),
    [
        ("parquet", "wide", "column"),
        ("parquet", "wide", "later"),
        ("ndjson", "wide", "earlier"),
        pytest.param("ndjson", "wide", "column", marks=pytest.mark.long),
        ("csv", "long", "later"),
        pytest.param("parquet", "wide", "earlier", marks=pytest.mark.long),
        pytest.param("ndjson", "wide", "later", marks=pytest.mark.long),
        pytest.param("csv", "long", "earlier", marks=pytest.mark.long),
        pytest.param("csv", "long", "column", marks=pytest.mark.long),
    ],
)
def test_a_run_that_went_on_meanwhile_is_whole_and_has_nothing_twice(
    held: PausingStore, run: RunWriter, tmp_path: Path, fmt: str, shape: str, change: str
) -> None:
    killed(held, tmp_path, "--format", fmt, "--shape", shape)
    match change:
        case "later":
            run.numbers("loss", [ROWS], [1.0])
        case "earlier":
            run.numbers("loss", [2], [-1.0])
        case "column":
            run.numbers("new", [ROWS + 1], [7.0])
    export(RUN, "-o", tmp_path, "--format", fmt, "--shape", shape)
    export(RUN, "-o", tmp_path / "whole", "--format", fmt, "--shape", shape)
    one, other = (folder / "me" / "digits" / f"one.{fmt}" for folder in (tmp_path, tmp_path / "whole"))
    if fmt == "parquet":
        assert pq.read_table(one).to_pandas().equals(pq.read_table(other).to_pandas())
    else:
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("url", "run")
@pytest.mark.parametrize("fmt", ["parquet", "ndjson"])
def test_an_answer_that_breaks_off_is_gone_on_with(
    held: PausingStore, sent: list[Mapping[str, Any]], tmp_path: Path, fmt: str
) -> None:
    held.after, held.fails = 5, True
    file = tmp_path / f"one.{fmt}"
    export(RUN, "-o", file)
    assert ["cursor" in query for query in sent] == [False, True]
    steps = (
        loss_steps(file) if fmt == "parquet" else [json.loads(line)["_step"] for line in file.read_text().splitlines()]
    )
    assert steps == list(range(ROWS))


@pytest.mark.usefixtures("url", "run")
def test_keys_and_steps_choose(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    export(RUN, "-o", file, "-k", "loss", "-k", "text", "--any", "--min-step", 3, "--max-step", 5)
    assert pd.read_csv(file)["_step"].tolist() == [3, 4, 5]
    both = export(RUN, "-o", "-", "--format", "csv", "-k", "loss", "-k", "text").stdout_bytes
    assert pd.read_csv(io.BytesIO(both))["_step"].tolist() == [3, 3_500]


@pytest.mark.usefixtures("url")
def test_what_can_not_be_exported_is_said(run: RunWriter, tmp_path: Path) -> None:
    RunWriter(run.store, RunPath("me", "digits", "two")).document().numbers("other", [0], [1.0])
    failed = export("me/digits", "-k", "other", "-o", tmp_path, code=1)
    assert "1 run exported" in failed.stdout
    assert "me/digits/one failed" in failed.stderr
    assert "has not logged 'other'" in failed.stderr
    assert (tmp_path / "me" / "digits" / "two.parquet").exists()
    assert "for 2 runs" in said("me/digits", "-o", tmp_path / "all.parquet")
    assert "takes one run" in said("me/digits", "-o", "-")
    assert "entity/project" in said(RUN, "--filter", "config.lr > 0", "-o", tmp_path)
    (tmp_path / "plain").write_text("")
    assert "is a file" in said(RUN, "-o", tmp_path / "plain")
    with pytest.raises(ServiceRefusedError, match="there is no run"):
        export("me/digits/none", "-o", tmp_path)
    with pytest.raises(ServiceRefusedError, match="column"):
        export("me/digits", "--filter", "config.lr 0.1", "-o", tmp_path)
