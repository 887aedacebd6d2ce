"""ClickHouse's error codes: each has one class, which decides between waiting, bisecting and stopping."""

from __future__ import annotations

from typing import get_args

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from stepwell_schemas.clickhouse.errors import (
    ErrorClass,
    error_class,
    is_over_query_limit,
    known_codes,
    translate_errors,
)
from stepwell_schemas.errors import StoreError, StoreRejectedError, StoreUnavailableError

LATER = [159, 160, 201, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 319, 394, 425, 439, 499, 745, 999, 1000]
"""Load, networks, disks, quotas, cancellations, replicas and coordination: states that end by themselves."""


def test_every_class_is_one_of_four() -> None:
    assert {error_class(code) for code in known_codes()} == set(get_args(ErrorClass))


@pytest.mark.parametrize("code", LATER)
def test_states_that_end_are_passing(code: int) -> None:
    assert error_class(code) == "passing"


@pytest.mark.parametrize("code", [16, 47, 60, 62, 81, 158, 164, 193, 246, 497, 516])
def test_wrong_statements_tables_and_rights_are_ours(code: int) -> None:
    assert error_class(code) == "ours"


@pytest.mark.parametrize("code", [6, 69, 117, 321, 349, 407, 469])
def test_values_that_do_not_fit_are_data(code: int) -> None:
    assert error_class(code) == "data"


@pytest.mark.parametrize("code", [0, -1, 49, 1001, 1002, 5_000, 2**31])
def test_ambiguous_and_new_codes_are_unknown(code: int) -> None:
    assert error_class(code) == "unknown"


@pytest.mark.parametrize("code", sorted(known_codes()))
def test_passing_codes_are_unavailable_and_others_rejected(code: int) -> None:
    expected = StoreUnavailableError if error_class(code) == "passing" else StoreRejectedError
    with pytest.raises(expected) as caught, translate_errors():
        raise DatabaseError(f"Code: {code}. DB::Exception: text")
    assert caught.value.code == code


def test_an_answer_without_code_is_unavailable() -> None:
    for error in (OperationalError("connection refused"), DatabaseError("received HTTP status 502"), ConnectionError()):
        with pytest.raises(StoreUnavailableError), translate_errors():
            raise error


@pytest.mark.parametrize(
    ("code", "text", "own"),
    [
        (159, "Timeout exceeded", True),
        (396, "Limit for result exceeded", True),
        (241, "Query memory limit exceeded: would use 12.06 MiB", True),
        (241, "Memory limit (for query) exceeded", True),
        (241, "(total) memory limit exceeded", False),
        (241, "User memory limit exceeded", False),
        (241, "Memory limit (total) exceeded", False),
        (202, "Too many simultaneous queries", False),
    ],
)
def test_a_query_limit_is_not_a_limit_of_the_server(code: int, text: str, own: bool) -> None:
    assert is_over_query_limit(StoreError(text, code)) is own
