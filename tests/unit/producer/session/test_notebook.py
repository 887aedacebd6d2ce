"""Runs in notebooks, with the real IPython: console output over cells, cells that run twice, and what is displayed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepwell
from stepwell.journal.items import JsonRow
from stepwell.recording.curves import CURVES_AT_MOST, POINTS_AT_MOST, Curves
from stepwell.session.rendering import render_run
from stepwell_schemas.events.codec import decode
from support.readers.journals import encode_journal, read_journal

_HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """IPython's shell, with cells that run in a namespace of their own."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.user_ns["folder"] = tmp_path
    yield shell
    stepwell.finish()
    InteractiveShell.clear_instance()


@pytest.fixture
def kernel(shell: Any) -> list[dict[str, Any]]:
    """The displays that a notebook's front end receives."""
    shown: list[dict[str, Any]] = []

    def publish(data: dict[str, Any], metadata: Any = None, **others: Any) -> None:
        shown.append({"html": data.get("text/html", ""), "update": others.get("update", False)})

    shell.kernel = object()
    shell.display_pub.publish = publish
    return shown


def run_cells(shell: Any, *cells: str) -> None:
    """Run cells; none may fail."""
    for cell in cells:
        result = shell.run_cell(cell)
        assert result.success, result.error_in_exec or result.error_before_exec


_INIT = """
import stepwell
run = stepwell.init("me", "p", folder, "run", mode="offline", settings={"console": "auto", "quiet": True})
"""


def console_lines(run: stepwell.Run) -> list[str]:
    """Return the lines of a finished run's console output."""
    others = [path for path in Path(run.journal_path).parent.glob("*.journal") if str(path) != run.journal_path]
    return [
        value
        for path in others
        for item in read_journal(path)[1]
        if isinstance(item, JsonRow)
        for _, value in item.row["d"].values()
    ]


def test_output_of_every_cell_is_kept(shell: Any) -> None:
    run_cells(shell, _INIT + "print('first')", "print('second')", "import sys; sys.stdout.write('third\\n');", "1 + 1")
    run_cells(shell, "print('fourth')", "run.finish()", "print('after the end')")
    assert [line for line in console_lines(shell.user_ns["run"]) if "Out" not in line][:4] == [
        "first", "second", "third", "fourth"
    ]  # fmt: skip
    assert getattr(sys.stdout.write, "hook", None) is None


def test_a_cell_that_runs_twice_finishes_its_first_run(shell: Any, tmp_path: Path) -> None:
    cell = _INIT.replace('"run", ', "") + "run.log({'a': 1})\nfirst = globals().setdefault('first', run)"
    run_cells(shell, cell, cell)
    first: stepwell.Run = shell.user_ns["first"]
    second: stepwell.Run = shell.user_ns["run"]
    assert (first.finished, second.finished) == (True, False)
    assert first.id != second.id
    assert stepwell.run == second
    events = [decode(sent.payload) for sent in encode_journal(first.journal_path)]
    assert [event.name for event in events] == ["RunStarted", "LogBatch", "RunFinished"]
    assert second._rows.rows == 1
    failed = shell.run_cell("with stepwell.init('me', 'p', folder, mode='offline') as third:\n    1 / 0")
    assert isinstance(failed.error_in_exec, ZeroDivisionError)
    assert second.finished
    assert shell.user_ns["third"].finished


def test_a_notebook_shows_progress_and_the_receipt(shell: Any, kernel: list[dict[str, Any]]) -> None:
    run_cells(shell, _INIT.replace(', "quiet": True', ""))
    run = shell.user_ns["run"]
    assert [shown["update"] for shown in kernel] == [False]
    for step in range(5):
        run.log({"loss": 1 / (step + 1), "note": "text"})
    run._display.update()
    assert "step 5" in kernel[-1]["html"]
    assert "<polyline" in kernel[-1]["html"]
    assert "note: text" in kernel[-1]["html"]
    count = len(kernel)
    run._display.update()
    assert len(kernel) == count
    run.finish()
    assert str(run.finish()).split(":")[0] in kernel[-1]["html"]
    assert run.display()
    assert kernel[-1]["html"] == run.to_html()


def test_outside_notebooks_nothing_is_displayed(tmp_path: Path) -> None:
    with stepwell.init("me", "p", tmp_path, "run", mode="offline", settings={"quiet": True}) as run:
        run.log({"loss": 0.25})
        assert not run.display()
        assert "loss: 0.25" in run._repr_html_()
        assert "<svg" not in run._repr_html_()


def test_names_and_values_are_escaped() -> None:
    curves = [(_HOSTILE, [(0, 1.0), (1, 2.0)])]
    html = render_run(_HOSTILE, f"http://host/{_HOSTILE}", _HOSTILE, curves, {_HOSTILE: 1, f"b{_HOSTILE}": _HOSTILE})
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 6
    assert "href" not in render_run("run", "javascript:alert(1)", "", [], {})


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([1.0], "<circle"),
        ([1.0, 1.0], "<polyline"),
        ([float("nan")] * 3, ""),
        ([-1e308, float("inf"), 1e308, 0.0], "<circle"),
        ([1e308, -1e308], "<polyline"),
    ],
)
def test_a_chart_of_any_numbers(values: list[float], parts: str) -> None:
    html = render_run("run", "", "", [("key", list(enumerate(values)))], {})
    assert parts in html
    assert "nan" not in html
    assert ("<svg" in html) == bool(parts)


def test_arrays_are_no_points_of_a_curve() -> None:
    curves = Curves(lambda: 0)
    curve = curves.curve("weights")
    assert curve is not None
    for value in (np.arange(3), np.float32(0.5)):
        curve.add(value)
    assert curve.points == [(0, 0.5)]


def test_curves_are_bounded() -> None:
    step = 0
    curves = Curves(lambda: step)
    assert curves.curve("_internal") is None
    curve = curves.curve("Loss")
    assert curve is not None
    assert curves.curve("loss") is curve
    for step in range(5_000):
        curve.add(step)
    curve.add("text")
    assert POINTS_AT_MOST / 4 <= len(curve.points) < POINTS_AT_MOST
    gaps = {later[0] - earlier[0] for earlier, later in zip(curve.points[:-1], curve.points[1:], strict=True)}
    assert len(gaps) == 1
    found = [curves.curve(f"key {number}") for number in range(10)]
    assert sum(each is not None for each in found) == CURVES_AT_MOST - 1
    assert curves.all() == [curve]
