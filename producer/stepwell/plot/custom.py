"""`plot_table`: wandb's predefined Vega charts, drawn as Plotly figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stepwell.media.plotly import Plotly
from stepwell.media.table import Table
from stepwell.plot import charts
from stepwell.wandb_compat import notify_once

_Draw = Callable[[Table, Mapping[str, str], str], Plotly]


def _line(table: Table, fields: Mapping[str, str], title: str) -> Plotly:
    return charts.line(table, fields["x"], fields["y"], fields.get("stroke") or fields.get("class"), title)


def _line_series(table: Table, fields: Mapping[str, str], title: str) -> Plotly:
    return charts.line(table, fields["step"], fields["lineVal"], fields["lineKey"], title)


def _scatter(table: Table, fields: Mapping[str, str], title: str) -> Plotly:
    return charts.scatter(table, fields["x"], fields["y"], title)


def _bar(table: Table, fields: Mapping[str, str], title: str) -> Plotly:
    return charts.bar(table, fields["label"], fields["value"], title)


def _histogram(table: Table, fields: Mapping[str, str], title: str) -> Plotly:
    return charts.histogram(table, fields["value"], title)


_CHARTS: Final[dict[str, _Draw]] = {
    "line": _line,
    "lineseries": _line_series,
    "area-under-curve": _line,
    "scatter": _scatter,
    "bar": _bar,
    "histogram": _histogram,
}


def plot_table(
    vega_spec_name: str,
    data_table: Table,
    fields: Mapping[str, str],
    string_fields: Mapping[str, str] | None = None,
    split_table: bool = False,  # noqa: ARG001 - wandb's name
) -> Plotly | Table:
    """Return a table as one of wandb's predefined charts; for any other chart the table, with a notice.

    Args:
        vega_spec_name: `wandb/line/v0`, and so on with lineseries, area-under-curve, scatter, bar or histogram.
        fields: the chart's fields, each with a column of the table.
        string_fields: `title`, `x-axis-title` and `y-axis-title`.

    Raises:
        ValueError: for a column that the table lacks. KeyError: if a field of the chart is missing.
    """
    owner, _, chart = vega_spec_name.partition("/")
    draw = _CHARTS.get(chart.partition("/")[0]) if owner == "wandb" else None
    if draw is None:
        notify_once(f"the Vega chart {vega_spec_name} is not supported: its table is logged without it")
        return data_table
    texts = string_fields or {}
    table, columns = _rename_axes(data_table, fields, texts)
    return draw(table, columns, texts.get("title", ""))


def _rename_axes(table: Table, fields: Mapping[str, str], texts: Mapping[str, str]) -> tuple[Table, Mapping[str, str]]:
    """Return the table and fields with the columns `x` and `y` named as the texts name the axes."""
    titles = {field: texts.get(f"{field}-axis-title") or fields[field] for field in ("x", "y") if field in fields}
    columns = {field: column for field, column in fields.items() if column} | titles
    if len(set(columns.values())) < len(columns) or not set(titles.values()) - set(fields.values()):
        return table, fields
    cells = [table.get_column(fields[field]) for field in columns]
    return Table([*columns.values()], [*zip(*cells, strict=True)], allow_mixed_types=True), columns
