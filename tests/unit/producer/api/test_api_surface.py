"""`Api`, its runs and lists compared with the installed wandb, over canned answers of the service."""

from __future__ import annotations

import copy
import inspect
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import numpy as np
import pytest
from wandb.apis import public

from stepwell.api import run as run_module
from stepwell.api.client import Api
from stepwell.api.http import check_response
from stepwell.api.run import ApiRun
from stepwell.api.runs import Runs
from stepwell.errors import ApiError, UnknownKeyError, UnsupportedError

INFO: Final[dict[str, Any]] = {
    "entity": "me",
    "project": "digits",
    "run_id": "one",
    "name": "first",
    "state": "finished",
    "tags": ["a"],
    "notes": "",
    "config": {"lr": 0.1, "opt": {"name": "adam", "clip": ["Infinity"]}},
    "summary": {"loss": {"min": 0.5}},
    "host": "node1",
    "program": "train.py",
    "git_commit": "",
    "started_at": "2026-01-01T00:00:00Z",
    "heartbeat_at": "2026-01-01T00:01:00Z",
    "last_step": 9,
    "duration": 60.0,
}


class CannedApi(Api):
    """An `Api` that answers from dicts, and keeps the parameters of its requests."""

    def __init__(self) -> None:
        super().__init__("http://host:8420", {"entity": "me", "project": "digits"})
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, str, Any]] = []

    def send(self, method: str, address: str, body: Any = None, **_: Any) -> Any:
        self.sent.append((method, address, body))

    def get(self, address: str, **parameters: Any) -> Any:
        self.requests.append((address, parameters))
        match address.rpartition("/")[2]:
            case "history":
                known = [key for key in parameters["key"] or ["loss"] if key == "loss"]
                unknown = [key for key in parameters["key"] or [] if key != "loss"]
                return {"rows": [{"_step": 0, "loss": 1.0}] if known and not unknown else [], "unknown_keys": unknown}
            case "runs":
                unknown = ["config.typo"] if parameters["filter"] == "config.typo > 1" else []
                return {"runs": [INFO, {**INFO, "run_id": "two"}], "next": None, "total": 2, "unknown_keys": unknown}
            case "projects":
                return {"projects": [{"entity": "me", "project": "digits"}, {"entity": "you", "project": "x"}]}
            case "series":
                return {"series": [], "unknown_keys": parameters["key"]}
        return INFO

    def lines(self, address: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        self.requests.append((address, parameters))
        if parameters["key"] not in (None, ["loss"]):
            raise UnknownKeyError(parameters["key"], "unknown")
        yield {"_step": 0, "loss": 1.0}


@pytest.fixture
def api() -> CannedApi:
    return CannedApi()


@pytest.fixture
def run(api: CannedApi) -> ApiRun:
    return api.run("me/digits/one")


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    kept: list[str] = []
    monkeypatch.setattr(run_module, "notify", kept.append)
    return kept


_INTERNAL: Final = {
    *("more", "cursor", "convert_objects", "update_variables", "last_response"),
    *("snake_to_camel", "user_agent"),
}
"""Names by which wandb reads the pages of its lists, and its server."""


@pytest.mark.parametrize(("theirs", "ours"), [(public.Api, Api), (public.Run, ApiRun), (public.Runs, Runs)])
def test_a_name_of_wandb_is_there_or_names_the_way(api: CannedApi, theirs: type, ours: type) -> None:
    subject = {Api: api, ApiRun: api.run("one"), Runs: api.runs()}[ours]
    constants = {name for name in vars(theirs) if name.isupper()}
    names = {name for name in dir(theirs) if not name.startswith("_")} - _INTERNAL - constants - set(dir(subject))
    attributes = {name for name in names if not callable(getattr(theirs, name)) and not hasattr(subject, name)}
    for name in attributes:
        with pytest.raises(AttributeError, match=": "):
            getattr(subject, name)
    for name in {name for name in names if callable(getattr(theirs, name))}:
        with pytest.raises(UnsupportedError):
            getattr(subject, name)()


@pytest.mark.parametrize("name", ["history", "scan_history", "files", "file", "load", "wait_until_finished", "delete"])
def test_a_method_of_a_run_has_wandb_s_arguments(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(one, name)).parameters for one in (ApiRun, public.Run))
    assert list(ours)[: len(theirs)] == list(theirs)


@pytest.mark.parametrize(("ours", "theirs"), [(Api.runs, public.Api.runs), (Runs.histories, public.Runs.histories)])
def test_a_list_of_runs_has_wandb_s_arguments(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


REFUSED: Final[list[Callable[[Any], Any]]] = [
    lambda run: run.metadata.clear(),
    *(lambda run, name=name: setattr(run, name, "x") for name in ("state", "id", "host", "created_at")),
    *(lambda run, name=name: getattr(run, name)() for name in ("create", "update_state", "log_artifact")),
]


@pytest.mark.parametrize("change", REFUSED)
def test_an_edit_of_what_follows_from_the_run_is_an_error(run: ApiRun, change: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError):
        change(run)
    assert run.info == INFO


def _set_item(value: Any, key: str, item: Any) -> None:
    value[key] = item


CHANGES: Final[list[tuple[Callable[[Any], Any], dict[str, Any]]]] = [
    (lambda run: setattr(run, "name", "x"), {"name": "x"}),
    (lambda run: setattr(run, "display_name", "x"), {"name": "x"}),
    (lambda run: setattr(run, "description", "x"), {"notes": "x"}),
    (lambda run: setattr(run, "notes", None), {"notes": ""}),
    (lambda run: setattr(run, "group", "g"), {"group": "g"}),
    (lambda run: setattr(run, "job_type", "g"), {"job_type": "g"}),
    (lambda run: run.tags.append("b"), {"tags": ["a", "b"]}),
    (lambda run: setattr(run, "tags", ("b", "c")), {"tags": ["b", "c"]}),
    (lambda run: run.tags.clear(), {"tags": []}),
    (lambda run: _set_item(run.config, "k", 1), {"config": {"k": 1}}),
    (lambda run: _set_item(run.rawconfig, "k", math.nan), {"config": {"k": "NaN"}}),
    (lambda run: run.config["opt"].update(name="sgd"), {"config": {"opt": {"name": "sgd", "clip": ["Infinity"]}}}),
    (lambda run: run.config.pop("lr"), {"config_remove": ["lr"]}),
    (lambda run: setattr(run, "config", {"lr": 0.1, "new": True}), {"config": {"new": True}, "config_remove": ["opt"]}),
    (lambda run: _set_item(run.summary, "s", 2), {"summary": {"s": 2}}),
    (lambda run: setattr(run.summary, "s", 2), {"summary": {"s": 2}}),
    (lambda run: _set_item(run.summary_metrics["loss"], "min", 0), {"summary": {"loss": {"min": 0}}}),
    (lambda run: run.summary.clear(), {"summary_remove": ["loss"]}),
]


@pytest.mark.parametrize(("change", "sent"), CHANGES)
def test_an_edit_is_sent_by_update(
    api: CannedApi, run: ApiRun, change: Callable[[Any], Any], sent: dict[str, Any]
) -> None:
    change(run)
    assert api.sent == []
    for _ in range(2):
        run.update()
        assert api.sent == [("PATCH", "runs/me/digits/one", sent)]


def test_only_what_was_changed_is_sent(api: CannedApi, run: ApiRun) -> None:
    assert (run.config, run.summary, run.tags) == ({**INFO["config"], "opt": {"name": "adam", "clip": [math.inf]}},
                                                   INFO["summary"], ["a"])  # fmt: skip
    run.update()
    run.summary.update()
    assert api.sent == []
    run.name, kept = "x", run.config
    assert run.name == "x"
    kept["k"] = 1
    run.summary["s"] = 2
    run.summary.update({"t": 3})
    assert api.sent == [("PATCH", "runs/me/digits/one", {"summary": {"s": 2, "t": 3}})]
    run.save()
    kept["k"] = 2
    run.update()
    assert [changes for _, _, changes in api.sent[1:]] == [{"name": "x", "config": {"k": 1}}, {"config": {"k": 2}}]
    run.name = "y"
    run.load(force=True)
    run.update()
    assert (run.name, len(api.sent)) == ("first", 3)


def test_a_run_is_stopped_and_deleted(api: CannedApi, run: ApiRun) -> None:
    run.stop()
    run.delete(delete_artifacts=True)
    api.delete_project("me/digits")
    assert [(method, address) for method, address, _ in api.sent] == [
        ("POST", "runs/me/digits/one/stop"), ("DELETE", "runs/me/digits/one"), ("DELETE", "projects/me/digits"),
    ]  # fmt: skip


def test_attributes_have_wandb_s_names_and_spellings(run: ApiRun) -> None:
    assert (run.display_name, run.displayName, run.description, run.storage_id) == ("first", "first", "", "one")
    assert run.heartbeat_at == run.heartbeatAt == run.updated_at == INFO["heartbeat_at"]
    assert (run.duration, run.lastHistoryStep, run.sweep, run.sweep_name) == (60.0, 9, None, None)
    assert run.metadata == {
        "host": "node1", "program": "train.py", "codePath": "train.py", "startedAt": INFO["started_at"]
    }  # fmt: skip
    assert run.summary._json_dict == run.summary_metrics == INFO["summary"]
    assert json.loads(run.json_config)["lr"]["value"] == 0.1
    assert run.config["opt"]["clip"] == [math.inf]
    assert "/".join(run.path) == "me/digits/one"
    assert not hasattr(run, "user")
    assert copy.deepcopy(run).info == INFO


def test_the_first_argument_may_be_wandb_s_overrides() -> None:
    api = Api({"entity": "you", "project": "digits", "base_url": "http://host:1/"})
    assert (api.default_entity, api.default_project, api.base_url) == ("you", "digits", "http://host:1")
    assert Api("http://host:1", {"base_url": "http://host:2"}).base_url == "http://host:1"


def test_events_is_the_stream_of_system_metrics(api: CannedApi, run: ApiRun) -> None:
    run.history(keys="loss", stream="events", pandas=False)
    list(run.scan_history("loss", stream="events"))
    assert [parameters["stream"] for _, parameters in api.requests[1:]] == ["system", "system"]


def test_a_filter_takes_times_and_scalars(api: CannedApi) -> None:
    after, rate, steps = datetime(2026, 1, 31, tzinfo=UTC), np.float32(0.5), [np.int64(3), np.bool_(True)]
    api.runs("me/digits", {"created_at": {"$gt": after}, "config.lr": rate, "config.steps": {"$in": steps}})
    assert json.loads(api.requests[-1][1]["filter"]) == {
        "created_at": {"$gt": "2026-01-31T00:00:00+00:00"}, "config.lr": 0.5, "config.steps": {"$in": [3, True]}
    }  # fmt: skip
    with pytest.raises(TypeError, match="filters: values of type set"):
        api.runs("me/digits", {"tags": {"$in": {"a"}}})


def test_an_error_of_a_parameter_names_field_value_rule_and_remedy() -> None:
    entry = {"field": "samples", "value": "1", "rule": "must be at least 2", "remedy": "send at least 2"}
    problem = {"title": "Invalid parameter", "detail": "samples: must be at least 2", "errors": [entry]}
    response = httpx.Response(422, json=problem, request=httpx.Request("GET", "http://host:1/runs"))
    with pytest.raises(ApiError) as caught:
        check_response(response)
    assert str(caught.value) == '422 from http://host:1/runs: samples "1": must be at least 2; send at least 2'


def test_one_key_is_a_list_of_one(api: CannedApi, run: ApiRun) -> None:
    assert run.history(keys="loss", pandas=False) == [{"_step": 0, "loss": 1.0}]
    assert list(run.scan_history("loss")) == [{"loss": 1.0}]
    assert [parameters["key"] for _, parameters in api.requests[1:]] == [["loss"], ["loss"]]
    assert run.scan("loss")._parameters["key"] == ["loss"]
    with pytest.raises(ApiError, match="losses"):
        run.series("losses")


def test_an_unknown_key_is_reported_and_gives_no_rows(run: ApiRun, notices: list[str]) -> None:
    assert run.history(keys=["loss", "nope"], pandas=False) == []
    assert list(run.scan_history(["nope"])) == []
    assert run.history(keys="loss", x_axis="epoch", pandas=False) == []
    assert [name for notice in notices for name in ("'nope'", "'epoch'") if name in notice] == [
        "'nope'", "'nope'", "'epoch'"
    ]  # fmt: skip
    assert run.history(keys="loss", pandas=False)
    assert len(notices) == 3


def test_a_list_of_runs_is_read_as_in_wandb(api: CannedApi) -> None:
    runs = api.runs("http://host:8420/me/digits", order=None, per_page=5_000, lazy=False)
    assert api.requests[-1][0] == "projects/me/digits/runs"
    assert (api.requests[-1][1]["order"], api.requests[-1][1]["limit"]) == ("created_at", 1_000)
    assert len(runs) == 2
    assert [next(runs).id, next(runs).id] == ["one", "two"]
    with pytest.raises(StopIteration):
        next(runs)
    assert [row["run_id"] for row in runs.histories()] == ["one", "two"]
    assert runs.histories(format="pandas", keys="loss")["loss"].tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="format"):
        runs.histories(format="arrow")  # type: ignore[arg-type]


def test_a_key_of_a_filter_that_no_run_has_is_reported(api: CannedApi, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(api.runs("me/digits", "config.lr > 1")) == 2
    assert capfd.readouterr().err == ""
    assert len(api.runs("me/digits", "config.typo > 1")) == 2
    assert "config.typo" in capfd.readouterr().err


def test_projects_have_addresses(api: CannedApi) -> None:
    (project,) = api.projects()
    assert (project.name, project.url) == ("digits", "http://host:8420/me/digits")
    assert [other.path for other in api.projects("you")] == [["you", "x"]]
    assert api.project("digits") == project


def test_a_file_that_only_wandb_has_is_an_error_with_the_way(run: ApiRun) -> None:
    with pytest.raises(ApiError, match=r"run\.config"):
        run.file("config.yaml")
