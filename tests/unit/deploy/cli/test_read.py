"""`runs` and `history` over canned answers of the service: keys that no run has are named."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Self

import httpx
import pytest
from rich.markup import render
from typer.testing import CliRunner

from stepwell_deploy.cli.app import app
from stepwell_deploy.cli.commands import export, read, rollups
from stepwell_deploy.cli.commands.errors import sentence
from stepwell_deploy.errors import UnknownKeyError
from stepwell_deploy.export.project import Summary
from stepwell_schemas.rollups.rebuild import Scope

RUN = {"path": "me/digits/one", "name": "one", "state": "finished", "last_step": 1}


class CannedService:
    """A client that answers from dicts, and keeps the paths of its requests."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str, **parameters: Any) -> Any:
        self.paths.append(path)
        if path.endswith("/runs"):
            unknown = [key for key in ("config.typo", "config.of/one") if key in str(parameters)]
            known = unknown if path.startswith("projects/me") else unknown[:1]
            return {"runs": [{**RUN, "values": {"config.lr": 0.1}}], "unknown_keys": known}
        if path == "projects":
            return {"projects": [{"entity": "me", "project": "digits"}, {"entity": "you", "project": "digits"}]}
        unknown = [key for key in parameters["key"] or () if key != "loss"]
        return {"rows": [] if unknown else [{"_step": 0, "loss": 1.0}], "unknown_keys": unknown}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> CannedService:
    canned = CannedService()
    monkeypatch.setattr(read, "open_service", lambda _: canned)
    return canned


@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.usefixtures("service")
def test_a_key_that_the_run_has_not_logged_is_an_error(flags: list[str]) -> None:
    arguments = ["history", "me/digits/one", "-k", "loss", "-k", "nope", *flags]
    with pytest.raises(UnknownKeyError, match="'nope'"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.usefixtures("service")
def test_a_column_that_no_run_has_is_named() -> None:
    done = CliRunner().invoke(app, ["runs", "me/digits", "-c", "config.lr", "-c", "summary.nope"])
    assert (done.exit_code, "summary.nope" in done.stderr, "config.lr" in done.stderr) == (0, True, False)


@pytest.mark.usefixtures("service")
def test_a_key_of_a_filter_that_no_run_has_is_named() -> None:
    options = ["--filter", "config.typo > 1 or config.of/one > 1", "-c", "config.typo", "--json"]
    cases: tuple[tuple[list[str], bool], ...] = ((["me/digits"], True), ([], False))
    for projects, second in cases:
        done = CliRunner().invoke(app, ["runs", *projects, *options])
        assert (done.exit_code, len(json.loads(done.stdout))) == (0, 2 - len(projects))
        assert ("config.typo" in done.stderr, "config.of/one" in done.stderr) == (True, second)
    assert CliRunner().invoke(app, ["runs", "-f", "config.lr > 1"]).stderr == ""


def test_paths_are_those_of_the_api_and_the_page(service: CannedService) -> None:
    for given in ("me/digits/runs/one", "http://127.0.0.1:8420/me/digits/one", "me/digits:one"):
        assert CliRunner().invoke(app, ["history", given, "-k", "loss"]).exit_code == 0
    assert CliRunner().invoke(app, ["runs", "http://127.0.0.1:8420/me/digits"]).exit_code == 0
    assert service.paths == ["runs/me/digits/one/history"] * 3 + ["projects/me/digits/runs"]


def test_paths_below_a_prefix_of_the_service(service: CannedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_BASE_URL", "http://host/stepwell")
    assert CliRunner().invoke(app, ["history", "http://host/stepwell/me/digits/one", "-k", "loss"]).exit_code == 0
    assert CliRunner().invoke(app, ["runs", "http://host/stepwell/me/digits"]).exit_code == 0
    assert service.paths == ["runs/me/digits/one/history", "projects/me/digits/runs"]


@pytest.mark.parametrize(
    "name", ["me/digits", "http://127.0.0.1:8420/me/digits", "me/digits/runs/one", "me/digits:one"]
)
def test_rollups_take_runs_and_projects_by_the_same_paths(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    scopes: list[Scope] = []
    monkeypatch.setattr(rollups, "_store", contextlib.nullcontext)

    def works(_: object, scope: Scope) -> list[object]:
        scopes.append(scope)
        return []

    monkeypatch.setattr("stepwell_schemas.rollups.rebuild.works", works)
    assert CliRunner().invoke(app, ["rollups", "rebuild", name], catch_exceptions=False).exit_code == 0
    assert scopes == [Scope("me", "digits", "one" if "one" in name else "")]


def test_an_export_takes_runs_and_projects_by_the_same_paths(
    service: CannedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "open_service", lambda _: service)
    monkeypatch.setattr(export, "_to_files", lambda *_, **__: Summary())
    info = {"entity": "me", "project": "digits", "run_id": "one", "complete_to": {"offset": 1}, "log_rows": 1}
    answers = {"runs/me/digits/one": {**info, "points": 1}, "projects/me/digits/runs": {"runs": [], "next": None}}

    def get(path: str, **_: object) -> object:
        service.paths.append(path)
        return answers[path]

    monkeypatch.setattr(service, "get", get)
    names = ["me/digits/runs/one", "http://127.0.0.1:8420/me/digits/one", "http://127.0.0.1:8420/me/digits"]
    for name in names:
        assert CliRunner().invoke(app, ["export", name], catch_exceptions=False).exit_code == 0
    assert service.paths == [*["runs/me/digits/one"] * 2, "projects/me/digits/runs"]
    assert CliRunner().invoke(app, ["export", names[0], "-f", "config.lr > 1"]).exit_code == 2


@pytest.mark.parametrize(("package", "extra"), [("sklearn", "demo"), ("plotext", "demo"), ("chdb", "local")])
def test_a_missing_package_names_its_extra(package: str, extra: str) -> None:
    assert f"stepwell[{extra}]" in render(sentence(ModuleNotFoundError(name=package))).plain


@pytest.mark.parametrize("base_url", ["localhost:8420", "host", "ftp://host:8420"])
def test_a_base_url_of_another_scheme_is_named(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("STEPWELL_BASE_URL", base_url)
    with pytest.raises(httpx.UnsupportedProtocol) as caught:
        CliRunner().invoke(app, ["runs"], catch_exceptions=False)
    shown = render(sentence(caught.value)).plain
    assert f"'{base_url}'" in shown
    assert "STEPWELL_BASE_URL" in shown
