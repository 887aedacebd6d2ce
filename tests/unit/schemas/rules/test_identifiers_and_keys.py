"""Valid names of runs and metrics, and the errors for invalid ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import IdentifierError, KeyRuleError
from stepwell_schemas.rules.identifiers import RunPath, check_identifier
from stepwell_schemas.rules.keys import check_key, fold_key
from stepwell_schemas.rules.kinds import as_float, exact_text


@pytest.mark.parametrize("name", ["a", "my run", 'it\'s "quoted"', "🚀", "..a", "日本", "x" * 128, "100%"])
def test_ordinary_and_odd_names_are_fine(name: str) -> None:
    assert check_identifier("project", name) == name


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", " a", "a ", "a\nb", "\ud800", "x" * 129, "a\x00"])
def test_names_that_could_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(IdentifierError, match=r"^project "):
        check_identifier("project", name)


def test_a_path_reads_as_it_prints() -> None:
    path = RunPath.parse("me/my project/run 1")
    assert path == ("me", "my project", "run 1")
    assert path.kafka_key == b"me/my project/run 1"
    assert RunPath.parse(str(path)) == path


@pytest.mark.parametrize("path", ["", "a", "a/b", "a/b/c/d", "a//c"])
def test_a_path_has_three_parts(path: str) -> None:
    with pytest.raises(IdentifierError):
        RunPath.parse(path)


def test_an_error_shows_no_more_of_a_value_than_helps() -> None:
    with pytest.raises(KeyRuleError) as caught:
        check_key("k" * 10_000)
    assert "1,024" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("key", ["", "a\x00", "\ud800"])
def test_keys_that_cannot_be_shown_are_refused(key: str) -> None:
    with pytest.raises(KeyRuleError):
        check_key(key)


@pytest.mark.parametrize(
    ("left", "right"), [("Loss", "loss"), ("STRASSE", "straße"), ("ΌΣΟΣ", "όσος"), ("é", "e\u0301"), ("İ", "i̇")]
)
def test_spellings_of_one_metric_fold_to_one(left: str, right: str) -> None:
    assert fold_key(left) == fold_key(right)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_folding_a_folded_key_changes_nothing(key: str) -> None:
    assert fold_key(fold_key(key)) == fold_key(key)


@given(st.integers(-(2**70), 2**70))
def test_an_integer_travels_exactly(value: int) -> None:
    text = exact_text(value)
    assert (int(text) if text else int(as_float(value))) == value


def test_integers_beyond_float64_keep_their_digits() -> None:
    assert as_float(-(10**400)) == float("-inf")
    assert exact_text(10**400) == str(10**400)
