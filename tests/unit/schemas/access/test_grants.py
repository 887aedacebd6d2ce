from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.access.grants import ANY, Grant, Resource, Scope, allows, resources
from stepwell_schemas.access.identity import OPEN_IDENTITY
from stepwell_schemas.access.keys import ApiKey, hash_key, new_key
from stepwell_schemas.errors import GrantError

NAMES = st.sampled_from(["ml", "vision", "a b"])
RESOURCES = st.one_of(st.just(Resource()), NAMES.map(Resource), st.builds(Resource, NAMES, st.sampled_from(["p", "q"])))
GRANTS = st.lists(st.builds(Grant, st.sampled_from(list(Scope)), RESOURCES), max_size=6)


@given(st.builds(Grant, st.sampled_from(list(Scope)), RESOURCES))
def test_a_grants_text_is_read_back(grant: Grant) -> None:
    assert Grant.parse(str(grant)) == grant


@pytest.mark.parametrize(
    "text", ["", "delete", "read:", "read:a/b/c", "read:*/p", "read: a", "READ", "read:a/", "write:/p"]
)
def test_an_invalid_grant_is_refused(text: str) -> None:
    with pytest.raises(GrantError):
        Grant.parse(text)


def test_a_scope_includes_those_before_it() -> None:
    assert [[wide.includes(narrow) for narrow in Scope] for wide in Scope] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_grant_over_a_project_gives_nothing_else() -> None:
    grants = [Grant.parse("write:ml/vision")]
    assert allows(grants, Scope.WRITE, "ml", "vision")
    assert not allows(grants, Scope.ADMIN, "ml", "vision")
    assert not allows(grants, Scope.READ, "ml", "speech")
    assert not allows(grants, Scope.READ, "ml")
    assert not allows(grants, Scope.READ)


@given(GRANTS, st.sampled_from(list(Scope)), NAMES, st.sampled_from(["p", "q", ANY]))
def test_resources_permit_what_the_grants_permit(grants: list[Grant], scope: Scope, entity: str, project: str) -> None:
    found = resources(grants, scope)
    assert any(one.covers(entity, project) for one in found) == allows(grants, scope, entity, project)
    assert not any(a != b and a.covers(*b) for a in found for b in found)


def test_an_open_service_permits_everything() -> None:
    assert OPEN_IDENTITY.reads_all()
    assert OPEN_IDENTITY.allows(Scope.ADMIN)


def test_a_key_is_random_and_stored_as_a_hash() -> None:
    one, other = new_key(), new_key()
    assert one.text != other.text
    assert one.key_id != other.key_id
    assert one.hash == hash_key(one.text)
    assert one.text not in str(one.hash)
    # wandb's clients check the part after the first hyphen.
    assert re.fullmatch(r"[A-Za-z0-9_]{40,}", one.text.partition("-")[2])


@pytest.mark.parametrize(
    ("expires", "revoked", "valid"), [(0, 0, True), (101, 0, True), (100, 0, False), (0, 1, False), (101, 1, False)]
)
def test_a_key_ends_when_it_expires_or_is_revoked(expires: int, revoked: int, valid: bool) -> None:
    key = ApiKey("id", "hash", "name", "owner", (), 1, expires, revoked)
    assert key.is_valid(100) is valid
