"""The verdict of a receipt on the stored content, from the service's account of a session."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.delivery.stored_content import StoredSession, is_same, parse_session

STORED = StoredSession(6, 5, 9, 0, 0, 0, content=7, content_rows=5)


@pytest.mark.parametrize(
    ("change", "content", "lost", "same"),
    [
        ({}, 7, 0, True),
        ({}, 8, 0, False),
        ({}, None, 0, True),
        ({"content_rows": 4}, 7, 0, None),
        ({"content_rows": 0, "content": 0}, 7, 0, None),
        ({"moved_rows": 2}, 7, 0, True),
        ({"differing_rows": 2}, 7, 0, False),
        ({"differing_rows": 2, "content_rows": 4}, None, 0, False),
        ({"dead_letters": 1}, 7, 0, False),
        ({"missing": 1}, 7, 0, False),
        ({}, 7, 1, False),
    ],
)
def test_content_is_the_same_if_nothing_differs_and_everything_is_covered(
    change: dict[str, Any], content: int | None, lost: int, same: bool | None
) -> None:
    assert is_same(STORED._replace(**change), content, lost) is same


def test_the_account_of_an_earlier_service_has_no_content() -> None:
    body = {"records": 6, "log_rows": 5, "points": 9, "conflicts": 1, "dead_letters": 0, "missing": 0}
    stored = parse_session(body)
    assert (stored.content_rows, is_same(stored, 7)) == (0, None)
    more = {"content": "ffffffffffffffff", "content_rows": 5, "differing_rows": 1, "moved_rows": 2}
    assert parse_session({**body, **more})[6:10] == (2**64 - 1, 5, 1, 2)
