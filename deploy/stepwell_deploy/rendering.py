"""Texts of the terminal: tables of runs and rows, and numbers with their nouns."""

from __future__ import annotations

from typing import Any

from rich.table import Table

_SHOWN_SUMMARY_KEYS = 4


def runs_table(runs: list[dict[str, Any]]) -> Table:
    """Return runs as a table: path, state, steps, and the requested columns or the first summary values."""
    table = Table(box=None, pad_edge=False)
    for column, justify in (("run", "left"), ("name", "left"), ("state", "left"), ("last step", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
    chosen = list(dict.fromkeys(name for run in runs for name in run.get("values", ())))
    for name in chosen or ["summary"]:
        table.add_column(name, overflow="fold")
    for run in runs:
        if "values" in run:
            values = [_short(run["values"][name]) if name in run["values"] else "" for name in chosen]
        else:
            first = list(run["summary"].items())[:_SHOWN_SUMMARY_KEYS]
            values = ["  ".join(f"{key} {_short(value)}" for key, value in first)]
        table.add_row(run["path"], run["name"], run["state"], f"{run['last_step']:,}", *values)
    return table


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:24]


def rows_table(columns: list[str], rows: list[list[Any]]) -> Table:
    """Return rows as a table; columns of numbers are aligned to the right."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else _shown(value) for value in row))
    return table


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
