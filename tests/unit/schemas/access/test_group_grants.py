from __future__ import annotations

from typing import Any

import pytest

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.group_grants import (
    NAME_MAX_CHARS,
    grants_of_groups,
    mapped_groups,
    parse_group_grants,
    read_groups,
    read_name,
)
from stepwell_schemas.errors import GrantError

MAPPING = parse_group_grants({"ml": ["write:ml", "read"], "ops": ["admin"], "*": ["read"]})


def texts(grants: tuple[Grant, ...]) -> list[str]:
    return [str(grant) for grant in grants]


def test_a_user_has_the_grants_of_all_groups_each_once() -> None:
    assert texts(grants_of_groups(MAPPING, ["ml", "unknown"])) == ["write:ml", "read:*"]
    assert texts(grants_of_groups(MAPPING, [])) == ["read:*"]
    assert grants_of_groups(parse_group_grants({"ml": ["read"]}), []) == ()


def test_a_provider_can_not_name_the_group_of_everyone() -> None:
    mapping = parse_group_grants({"ml": ["read"]})
    assert mapped_groups({**mapping, "*": ()}, ["*", "ml", "ml", "other"]) == ("ml",)


@pytest.mark.parametrize("grant", ["", "write:", "own", "read:a/b/c", "READ"])
def test_a_wrong_grant_is_named(grant: str) -> None:
    with pytest.raises(GrantError):
        parse_group_grants({"g": [grant]})


@pytest.mark.parametrize(
    ("claims", "path", "groups"),
    [
        ({"groups": ["a", 1, None, "b"]}, "groups", ("a", "b")),
        ({"groups": "a"}, "groups", ("a",)),
        ({"groups": []}, "groups", ()),
        ({"groups": {"a": 1}}, "groups", None),
        ({}, "groups", None),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ("a",)),
        ({"realm_access": "a"}, "realm_access.roles", None),
        ({"https://example.org/groups": ["a"]}, "https://example.org/groups", ("a",)),
    ],
)
def test_groups_are_a_list_of_texts_at_a_path(
    claims: dict[str, Any], path: str, groups: tuple[str, ...] | None
) -> None:
    assert read_groups(claims, path) == groups


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zoë", "zoë"),
        ("", "s1"),
        ("  ", "s1"),
        (7, "s1"),
        (None, "s1"),
        ("a\nlevel=error\x1b[31m", "alevel=error[31m"),
        ("\n", "s1"),
        ("x" * 1_000, "x" * NAME_MAX_CHARS),
    ],
)
def test_a_name_is_printable_and_falls_back_to_the_subject(name: object, expected: str) -> None:
    assert read_name({"sub": "s1", "preferred_username": name}, "preferred_username") == expected
