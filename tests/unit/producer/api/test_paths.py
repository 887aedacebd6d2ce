"""Paths of runs and projects, in every form that wandb's `Api` takes, and as addresses of pages."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.api.paths import parse_project_path, parse_run_path, parse_runs_path
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath

BASE = "https://host:8420/stepwell"


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("e/p/id", "e/p/id"),
        ("/e/p/id/", "e/p/id"),
        (" e/p/id ", "e/p/id"),
        ("e/p/runs/id", "e/p/id"),
        ("/e/p/runs/id", "e/p/id"),
        ("e/p/sweeps/id", "e/p/id"),
        ("e/p:id", "e/p/id"),
        ("p/id", "me/p/id"),
        ("p:id", "me/p/id"),
        ("id", "me/tour/id"),
        ("e/runs/id", "e/runs/id"),
        ("e/p/a:b", "e/p/a:b"),
        (["e", "p", "id"], "e/p/id"),
        (("e", "p", "a:b"), "e/p/a:b"),
        ("http://127.0.0.1:8420/e/p/id", "e/p/id"),
        ("http://127.0.0.1:8420/e/p/runs/id?key=loss#charts", "e/p/id"),
        ("HTTPS://host:8420/stepwell/e/my%20p/a%3Fb", "e/my p/a?b"),
    ],
)
def test_a_run_is_named_in_any_form(path: Any, parsed: str) -> None:
    assert str(parse_run_path(path, BASE, "me", "tour")) == parsed


@pytest.mark.parametrize("path", ["", "/", "e/p/q/id", "e/p/runs/id/files", [], "http://127.0.0.1:8420/"])
def test_a_path_of_another_form_is_an_error(path: Any) -> None:
    with pytest.raises(IdentifierError):
        parse_run_path(path, BASE, "me", "tour")


def test_a_path_without_an_entity_needs_a_default() -> None:
    with pytest.raises(IdentifierError):
        parse_run_path("p/id")


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("e/p", ("e", "p")),
        ("/e/p/", ("e", "p")),
        ("e/p/runs", ("e", "p")),
        ("p", ("me", "p")),
        (["e", "p"], ("e", "p")),
        ("https://host:8420/stepwell/e/my%20p?filter=x", ("e", "my p")),
    ],
)
def test_a_project_is_named_in_any_form(path: Any, parsed: tuple[str, str]) -> None:
    assert parse_project_path(path, BASE, "me") == parsed


@pytest.mark.parametrize("path", ["", "e/p/id", "a/b/c/d", []])
def test_a_project_path_of_another_form_is_an_error(path: Any) -> None:
    with pytest.raises(IdentifierError):
        parse_project_path(path, BASE, "me")


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("e/p", ("e", "p")),
        ("/e/p/runs", ("e", "p")),
        ("https://host:8420/stepwell/e/p", ("e", "p")),
        ("e/p/id", RunPath("e", "p", "id")),
        ("e/p/runs/id", RunPath("e", "p", "id")),
        ("e/p:id", RunPath("e", "p", "id")),
        ("https://host:8420/stepwell/e/p/id", RunPath("e", "p", "id")),
    ],
)
def test_runs_are_named_by_a_run_or_a_project(path: str, parsed: tuple[str, ...]) -> None:
    found = parse_runs_path(path, BASE)
    assert (type(found), found) == (type(parsed), parsed)


@pytest.mark.parametrize("path", ["", "e", "e/", "/p", "a/b/c/d", "e/p/runs/id/files", "e/p/."])
def test_what_names_neither_is_an_error(path: str) -> None:
    with pytest.raises(IdentifierError):
        parse_runs_path(path, BASE)
