from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.access.identity import Method
from stepwell_schemas.access.sealing import SEALED_MAX_CHARS, Sealer
from stepwell_schemas.access.sessions import (
    SESSION_MAX_MS,
    SessionCodec,
    begin_key_session,
    begin_oidc_session,
    cookie_name,
    renewed,
)

SECRET = "s" * 32
HOUR = 3_600_000
NOW = 1_800_000_000_000
LIFETIME = 12 * HOUR


def test_a_session_is_read_back_until_it_expires() -> None:
    codec = SessionCodec(SECRET)
    for session in (begin_key_session("ab" * 32, NOW, LIFETIME), begin_oidc_session("me", ("g",), NOW, LIFETIME)):
        cookie = codec.seal(session)
        assert codec.open(cookie, NOW) == codec.open(cookie, session.expires - 1) == session
        assert codec.open(cookie, session.expires) is None


def test_what_was_sealed_for_another_purpose_is_no_session() -> None:
    assert SessionCodec(SECRET).open(Sealer(SECRET, "sign-in").seal({"expires": NOW * 2}), NOW) is None


def test_sessions_have_different_ids() -> None:
    first, second = (begin_key_session("", NOW, LIFETIME) for _ in range(2))
    assert first.session_id != second.session_id


def test_a_session_of_a_key_is_renewed_in_the_second_half_of_its_lifetime() -> None:
    session = begin_key_session("", NOW, LIFETIME)
    assert renewed(session, NOW + LIFETIME // 2 - 1, LIFETIME) is None
    longer = renewed(session, NOW + LIFETIME // 2, LIFETIME)
    assert longer == replace(session, expires=NOW + LIFETIME // 2 + LIFETIME)


def test_a_session_of_the_provider_is_not_renewed() -> None:
    session = begin_oidc_session("me", (), NOW, LIFETIME)
    assert renewed(session, session.expires - 1, LIFETIME) is None


@given(st.lists(st.integers(1, LIFETIME - 1), max_size=100))
def test_no_session_lasts_longer_than_a_week_however_it_is_used(pauses: list[int]) -> None:
    session, now = begin_key_session("", NOW, LIFETIME), NOW
    for pause in pauses:
        now += pause
        if now >= session.expires:
            return
        longer = renewed(session, now, LIFETIME)
        assert longer is None or longer.expires > session.expires
        session = longer or session
        assert session.expires <= NOW + SESSION_MAX_MS


def test_a_cookie_with_many_groups_fits() -> None:
    groups = tuple(f"/organisation/department/team-{number:03}" for number in range(40))
    cookie = SessionCodec(SECRET).seal(begin_oidc_session("a" * 200, groups, NOW, LIFETIME))
    assert len(cookie) < SEALED_MAX_CHARS


@pytest.mark.parametrize(("secure", "name"), [(True, "__Host-stepwell-session"), (False, "stepwell-session")])
def test_the_cookie_of_a_secure_service_is_bound_to_its_host(secure: bool, name: str) -> None:
    assert cookie_name("stepwell-session", secure=secure) == name


def test_methods_are_kept() -> None:
    codec = SessionCodec(SECRET)
    opened = codec.open(codec.seal(begin_oidc_session("me", (), NOW, LIFETIME)), NOW)
    assert opened is not None
    assert opened.method is Method.OIDC
