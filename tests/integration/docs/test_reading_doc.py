"""The examples of docs/reading.md, executed unchanged, and the results that the page describes."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stepwell_deploy.cli.app import app
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.paths import ROOT
from support.readers.logs import warnings_alone
from support.servers.sdk import serving

DOCUMENT: Final = ROOT / "docs" / "reading.md"
STEPS: Final = 1_000
LOSSES: Final = np.random.default_rng(1).normal(size=STEPS)


def blocks(language: str, begin: str) -> list[str]:
    """Return the examples in a language that begin with a word."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [block for written_in, block in found if written_in == language and block.startswith(begin)]


@pytest.fixture
def url(chdb_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    for number, name in enumerate(("abc123", "def456")):
        run = RunWriter(chdb_store, RunPath("me", "digits", name)).document(config={"lr": 0.1 * number})
        run.numbers("train/loss", range(STEPS), LOSSES).numbers("train/accuracy", range(STEPS), LOSSES / 2)
        run.numbers("val/loss", range(0, STEPS, 100), np.arange(10.0))
    monkeypatch.chdir(tmp_path)
    # The same process serves, sends requests and is measured.
    with warnings_alone(), serving(chdb_store) as url:
        monkeypatch.setenv("STEPWELL_BASE_URL", url)
        yield url


@pytest.mark.usefixtures("url")
def test_the_programs_do_what_the_page_says() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python", ""):
        exec(block, names)  # the page's own examples
    assert (len(names["frame"]), names["frame"].columns[0]) == (100, "_step")
    first = names["joined"][1]
    assert first["_step"] in names["filled"]
    assert first["val/loss"] == pytest.approx(first["_step"] / 100)
    assert 0 not in names["filled"]
    assert names["losses"] == pytest.approx(LOSSES.sum())
    assert len(names["everything"]) == 2 * STEPS + 10
    assert (names["known"].num_rows, names["since"].num_rows) == (STEPS, 0)


def test_the_requests_do_what_the_page_says(url: str) -> None:
    answers = []
    for block in blocks("", "curl"):
        words = shlex.split(block.replace("\\\n", " "))
        assert words[:2] == ["curl", "-G"]
        pairs = [word.partition("=") for word in words[4::2]]
        parameters = {name: value for name, _, value in pairs}
        answers.append(httpx.get(words[2].replace("http://127.0.0.1:8420", url), params=parameters))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]
    history, scan, rest, of_writers = answers
    assert {"sampled", "complete_to", "unknown_keys"} <= history.json().keys()
    assert len(history.json()["rows"]) == 100
    assert pd.read_csv(io.BytesIO(scan.content))["_step"].tolist() == list(range(100, 200))
    assert {"stepwell-complete-to-step", "stepwell-complete-to-offset", "stepwell-next"} <= set(scan.headers)
    assert [json.loads(line)["_step"] for line in rest.text.splitlines()] == list(range(120, STEPS))
    # The run's only writer has no name.
    assert [(series["key"], "writer" in series) for series in of_writers.json()["series"]] == [("train/loss", False)]


@pytest.mark.usefixtures("url")
def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    commands = [shlex.split(block) for block in blocks("", "stepwell")]
    done = [CliRunner().invoke(app, words[1:], catch_exceptions=False) for words in commands]
    assert [result.exit_code for result in done] == [0] * 4
    assert "train/loss" in done[0].stdout
    assert pq.read_table(tmp_path / "abc123.parquet").num_rows == STEPS
    assert [file.name for file in (tmp_path / "exported" / "me" / "digits").iterdir()] == ["def456.parquet"]
    assert len(pd.read_csv(io.BytesIO(done[3].stdout_bytes))) == STEPS
