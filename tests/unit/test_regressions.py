"""The rules of the perf gate."""

from __future__ import annotations

import pytest

from bench.figure import Figure, format_value, make_document, make_markdown, parse_figures
from bench.regressions import Regression, confirm, find_missing, find_regressions, find_spreads


def _cost(name: str, ratio: float) -> Figure:
    return Figure(name, "ms", ratio * 4, "a read", 4, "processor")


def _rate(name: str, ratio: float) -> Figure:
    return Figure(name, "M points/s", ratio * 4, "the engine", 4, "processor", rate=True)


@pytest.mark.parametrize(("ratio", "fails"), [(2.21, True), (2.19, False), (2.0, False), (1.0, False)])
def test_a_cost_fails_when_its_ratio_grew_by_more_than_a_tenth(ratio: float, fails: bool) -> None:
    assert [one.name for one in find_regressions([_cost("view", ratio)], {"view": 2.0})] == ["view"] * fails


@pytest.mark.parametrize(("ratio", "fails"), [(0.45, True), (0.46, False), (0.5, False), (1.0, False)])
def test_a_rate_fails_when_its_ratio_sank(ratio: float, fails: bool) -> None:
    assert [one.name for one in find_regressions([_rate("ingest", ratio)], {"ingest": 0.5})] == ["ingest"] * fails


def test_a_regression_has_both_ratios_and_its_loss() -> None:
    found = find_regressions([_cost("view", 3.0), _cost("list", 1.0)], {"view": 2.0, "list": 1.0})
    assert found == [Regression("view", 2.0, 3.0, 0.5)]


def test_only_what_is_worse_twice_counts_with_the_smaller_loss() -> None:
    recorded = {"view": 1.0, "list": 1.0}
    first = find_regressions([_cost("view", 1.5), _cost("list", 1.5)], recorded)
    again = find_regressions([_cost("view", 1.2), _cost("list", 1.0)], recorded)
    assert [(one.name, one.measured) for one in confirm(first, again)] == [("view", 1.2)]


def test_what_only_the_second_measurement_shows_does_not_count() -> None:
    recorded = {"view": 1.0, "list": 1.0}
    first = find_regressions([_cost("view", 1.5), _cost("list", 1.0)], recorded)
    again = find_regressions([_cost("view", 1.0), _cost("list", 1.5)], recorded)
    assert confirm(first, again) == []


def test_a_figure_that_is_recorded_and_no_longer_measured_is_found() -> None:
    assert find_missing([_cost("view", 1.0), _cost("new", 1.0)], {"view": 1.0, "old": 1.0}) == ["old"]


def test_a_figure_that_is_not_recorded_is_not_compared() -> None:
    assert find_regressions([_cost("new", 9.0)], {"view": 1.0}) == []


@pytest.mark.parametrize(
    ("ratios", "stable"), [((2.0, 2.19, 1.9), True), ((2.0, 2.21, 1.9), False), ((2.0, 2.1, 1.8), False)]
)
def test_a_figure_is_stable_whose_ratios_are_within_a_tenth_of_their_median(
    ratios: tuple[float, ...], stable: bool
) -> None:
    (spread,) = find_spreads([[_cost("view", ratio)] for ratio in ratios])
    assert spread.is_stable == stable


def test_spreads_have_the_median_and_the_range_of_the_ratios() -> None:
    (spread,) = find_spreads([[_cost("view", ratio)] for ratio in (2.0, 2.31, 2.1)])
    assert (spread.name, spread.median) == ("view", 2.1)
    assert spread.spread == pytest.approx(0.1)


def test_figures_survive_their_document() -> None:
    figures = [_cost("view", 2.0), _rate("ingest", 0.5)]
    assert parse_figures(make_document(figures)) == figures


def test_a_table_has_values_of_three_digits() -> None:
    assert [format_value(value) for value in (0.01234, 1.0, 12.345, 1234.5)] == ["0.0123", "1.00", "12.3", "1,234"]
    assert (
        make_markdown([_cost("view", 2.0)]).splitlines()[-1]
        == "| view | processor | 8.00 ms | 4.00 ms: a read | 2.00 |"
    )
