"""Tables of the terminal: values as text, and rows that are wider than the terminal as lists of columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from stepwell_deploy.rendering import rows_within, runs_table, summary_text, value_text

SHA = "0" * 64


def printed(renderable: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (True, "true"),
        (None, "null"),
        (10**20, "100000000000000000000"),
        ("it's", "it's"),
        ([1, "ä", None], '[1, "ä", null]'),
        ({"min": 0.1, "max": 2}, '{"min": 0.1, "max": 2}'),
        ({"sha256": SHA, "content_type": "image/png", "width": 8, "height": 4}, "image/png 8×4"),
        ({"sha256": SHA, "content_type": "audio/wav"}, "audio/wav"),
        ({"sha256": SHA, "columns": ["a"], "column_types": ["number"], "rows": 1_200}, "table of 1,200 rows"),
        ({"bins": [0, 1, 2], "counts": [3, 4]}, "histogram of 2 bins"),
        ({"items": [{"sha256": SHA, "content_type": "image/png"}] * 3}, "3 × image/png"),
        ({"items": [1]}, '{"items": [1]}'),
    ],
)
def test_a_value_is_json_and_media_are_described(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_a_summary_shows_numbers_before_media_and_never_python() -> None:
    summary = {
        "picture": {"sha256": SHA, "content_type": "image/png"},
        "loss": 0.25,
        "name": "x" * 40,
        "lr": {"min": 1},
    }
    assert summary_text(summary) == f'loss 0.25  name {"x" * 23}…  picture image/png  lr {{"min": 1}}'


def test_markup_in_names_and_values_is_text() -> None:
    run = {"path": "e/p/r", "name": "[red]x", "state": "finished", "last_step": 1, "summary": {"a": "[b]"}}
    assert "[red]x" in printed(runs_table([run]))
    assert "[b]" in printed(runs_table([run]))
    assert "[bold]" in printed(rows_within(["[bold]"], [["[i]"]], 80))


def test_rows_that_fit_are_a_table() -> None:
    assert printed(rows_within(["step", "value"], [[0, 1.5], [10, None]], 80)).split() == [
        "step", "value", "0", "1.5", "10"
    ]  # fmt: skip


@pytest.mark.parametrize(("width", "lines"), [(11, 2), (10, 4)])
def test_a_row_that_does_not_fit_is_a_list_of_its_columns(width: int, lines: int) -> None:
    text = printed(rows_within(["name", "notes"], [["abcd", "12345"]], width), 80).rstrip("\n")
    assert len(text.splitlines()) == lines
    if width == 10:
        assert text.splitlines()[2:4] == ["name:   abcd", "notes:  12345"]


def test_a_wide_row_takes_a_line_for_each_column() -> None:
    columns = [f"column_{number}" for number in range(23)]
    rows = [[f"value {number} {'x' * 20}" for number in range(23)]]
    assert len(printed(rows_within(columns, rows, 80)).splitlines()) < 30
