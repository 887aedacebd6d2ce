"""Runs changed, stopped and deleted over HTTP, by `Api` and the command line, while their scripts run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.errors import RunNotFoundError
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS
from support.servers.command import replays_from_a_server, run_stepwell
from support.servers.sdk import Served, end_process, eventually, served, serving_with_gateway
from support.servers.stack import Topics

pytestmark = pytest.mark.one_dsn

ADMIN = "sw_" + "a" * 43
VIEWS = [view for view in PUBLIC_VIEWS if view != "audit"]
LOGGED = """
import sys, numpy, stepwell
with stepwell.init(id=sys.argv[1], name="first", tags=["a"], config={"lr": 1, "old": 2}) as run:
    for step in range(300):
        run.log({"loss": float(sys.argv[2]) + step})
    run.log({"note": "text", "ok": True, "list": [1], "image": stepwell.Image(numpy.zeros((2, 2), "uint8"))})
    run.log({"table": stepwell.Table(["a"], [[1]])})
"""
LIVE = """
import sys, time, stepwell
run = stepwell.init(id="live")
end = time.monotonic() + 60
while time.monotonic() < end and not run.stop_requested and not run._stop_requests.deleted:
    run.log({"loss": 1.0})
    time.sleep(0.02)
print("stop_requested" if run.stop_requested else "deleted" if run._stop_requests.deleted else "neither", flush=True)
run.log({"loss": 2.0})
receipt = run.finish(timeout=20)
print(receipt.stored_note, flush=True)
"""


@pytest.fixture
def sdk(broker: str, topics: Topics, chdb_store: Store, tmp_path: Path) -> Iterator[Served]:
    with served(broker, topics, chdb_store, tmp_path, gateway=True) as running:
        yield running


def request(sdk: Served, method: str, path: str, body: Any = None, **parameters: Any) -> httpx.Response:
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/{path}"
    return httpx.request(method, url, json=body, params=parameters, timeout=30)


def row(sdk: Served, run: str) -> dict[str, Any]:
    (found,) = sdk.store.query("SELECT * FROM {db}.runs WHERE run_id = {run:String}", {"run": run}).to_pylist()
    return {**found, "config": json.loads(found["config"]), "summary": json.loads(found["summary"])}


def test_a_run_is_changed_by_all_clients_and_the_last_change_holds(sdk: Served) -> None:
    sdk.run(LOGGED, "one", "0")
    api = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"], {"entity": "me", "project": "p"})
    run = api.run("me/p/one")
    run.name, run.notes, run.group = "second", "looked at", "g"
    run.tags.append("b")
    run.config["lr"] = 5
    del run.config["old"]
    run.update()
    run.summary.update({"best": 7})
    assert (api.run("me/p/one").summary["best"], run.summary["loss"]) == (7, 299.0)
    sdk.command(
        "edit", "me/p/one", "--tag", "c", "--untag", "a", "--config", 'opt={"name": "adam"}', "--job-type", "eval"
    )
    found = row(sdk, "one")
    assert (found["name"], found["notes"], found["tags"], found["run_group"]) == (
        "second",
        "looked at",
        ["b", "c"],
        "g",
    )
    assert (found["config"], found["summary"]["best"]) == ({"lr": 5, "opt": {"name": "adam"}}, 7)
    assert (found["job_type"], found["state"]) == ("eval", "finished")
    # A script that resumes the run sends what it sets, and nothing else.
    sdk.run("""import stepwell
with stepwell.init(id="one", resume="must") as run:
    assert (run.name, run.config["lr"]) == ("second", 5)
    run.config.epochs = 3
""")
    found = row(sdk, "one")
    assert (found["name"], found["config"]) == ("second", {"lr": 5, "opt": {"name": "adam"}, "epochs": 3})
    assert api.runs("me/p", 'group = "g" and tags has "c"')[0].id == "one"


def test_requests_that_change_nothing_say_why(sdk: Served) -> None:
    sdk.run(LOGGED, "one", "0")
    gone = request(sdk, "PATCH", "runs/me/p/none", {"name": "x"})
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:stepwell:problem:not-found")
    for body, field in (
        ({}, "body"), ({"nmae": "x"}, "nmae"), ({"tags": "x"}, "tags"), ({"config": [1]}, "config"),
        ({"config": {"k": "x" * 2**21}}, "config"),
    ):  # fmt: skip
        refused = request(sdk, "PATCH", "runs/me/p/one", body)
        assert refused.status_code == 422, (body, refused.text)
        assert field in str(refused.json()["errors"]), refused.text
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/runs/me/p/one"
    sent = {"content-type": "application/json"}
    for content in (b'{"name": "\\ud800"}', b'{"config": {"\\ud800": 1}}', b"[" * 100_000, b'{"name": NaN}'):
        assert httpx.patch(url, content=content, headers=sent).status_code in {400, 422}, content[:40]
    both = {"run_ids": ["one", "none"], "change": {"name": "x"}}
    assert request(sdk, "PATCH", "projects/me/p/runs", both).status_code == 404
    assert request(sdk, "POST", "projects/me/p/runs/delete", {"run_ids": ["one", "none"]}).status_code == 404
    assert request(sdk, "DELETE", "projects/me/none").status_code == 404
    assert request(sdk, "DELETE", "runs/me/p/one", wait=61).status_code == 422
    assert row(sdk, "one")["name"] == "first"


@pytest.mark.parametrize(("how", "state"), [("flag", "finished"), ("raise", "killed")])
def test_a_running_script_is_asked_to_stop(sdk: Served, how: str, state: str) -> None:
    process = sdk.start(LIVE, STEPWELL_STOP=how, STEPWELL_STOP_POLL_SECONDS="0.2")
    eventually(lambda: sdk.count("runs", "live") == 1 and sdk.count("numbers", "live") > 0, True)
    out, _ = sdk.command("stop", "me/p/live", "--json")
    assert json.loads(out)[0]["stored"] is True
    if how == "flag":
        assert end_process(process, 0)[0].startswith("stop_requested")
    else:
        _, err = end_process(process, 1)
        assert "StopRequestedError: live: the run is asked to stop" in err
        assert "stepwell: live: the run is asked to stop" in err
    eventually(lambda: sdk.state("live"), state)
    assert row(sdk, "live")["stop_requested"]


def delete(sdk: Served, path: str) -> None:
    answer = request(sdk, "DELETE", path, wait=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["stored"] is True


def test_a_deleted_run_is_gone_everywhere(sdk: Served) -> None:
    sdk.run(LOGGED, "one", "1000")
    sdk.run(LOGGED, "other", "5")
    api = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"], {"entity": "me", "project": "p"})
    run = api.run("me/p/one")
    (table,) = [media.reference["sha256"] for media in run.media("table")]
    assert request(sdk, "GET", f"media/{table}/rows").status_code == 200
    delete(sdk, "runs/me/p/one")
    for view in VIEWS:
        assert sdk.count(view, "one") == 0, view
        assert sdk.count(view, "other") > 0 or view in {"step_conflicts", "retention"}, view
    for path in ("", "/metrics", "/history", "/scan", "/sessions"):
        assert request(sdk, "GET", f"runs/me/p/one{path}").status_code == 404, path
    assert [listed.id for listed in api.runs("me/p")] == ["other"]
    run.name = "x"
    with pytest.raises(RunNotFoundError):
        run.update()
    assert request(sdk, "GET", f"media/{table}").status_code == 200, "the other run has the same file"
    delete(sdk, "projects/me/p")
    for path in ("projects/me/p/runs", f"media/{table}", f"media/{table}/rows"):
        assert request(sdk, "GET", path).status_code == 404, path


def test_the_command_says_what_goes_and_asks(sdk: Served) -> None:
    sdk.run(LOGGED, "one", "0")
    asked = sdk.start_command("delete", "me/p/one")
    out, _ = asked.communicate("n\n", timeout=60)
    assert asked.returncode == 1
    assert "me/p/one: 1 run," in out
    assert "points_number" in out
    dry = json.loads(sdk.command("delete", "me/p/one", "--dry-run", "--json")[0])
    assert (dry["dry_run"], dry["tables"]["points_number"]["rows"], dry["stored"]) == (True, 300, None)
    assert sdk.count("runs", "one") == 1
    assert sdk.command("delete", "me/p", "--yes")[0].endswith("deleted\n")
    assert sdk.count("runs", "one") == 0


def test_a_new_run_of_the_name_has_its_own_data_only(sdk: Served, topics: Topics) -> None:
    environment = {**sdk.environment, "STEPWELL_INGESTOR_GROUP": f"group-{topics.events}"}

    def verify() -> bytes:
        with replays_from_a_server():
            return run_stepwell("verify", "me/p/one", environment=environment).stdout

    sdk.run(LOGGED, "one", "1000")
    sdk.run("""import stepwell
run = stepwell.init(id="one", mode="offline")
run.log({"late": 1.0})
run.finish()""")
    delete(sdk, "runs/me/p/one")
    # The journal from before the deletion is delivered, dropped, and removed.
    assert "run was deleted" in sdk.command("sync")[0]
    assert sdk.journals() == []
    assert b"the run was deleted" in verify()
    sdk.run(LOGGED, "one", "0")
    assert sdk.numbers("loss", "one") == [(step, float(step)) for step in range(300)]
    found = row(sdk, "one")
    assert (found["log_rows"], found["last_step"], found["tags"]) == (302, 301, ["a"])
    assert sdk.numbers("late", "one") == []
    assert b"the run was deleted" in verify()


def test_the_script_of_a_deleted_run_ends_quietly(sdk: Served) -> None:
    process = sdk.start(LIVE, STEPWELL_STOP_POLL_SECONDS="0.2")
    # Values of a flush are stored before its runs.
    eventually(lambda: sdk.count("numbers", "live") > 0 and sdk.count("runs", "live") == 1, True)
    stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/live").delete()
    out, err = end_process(process, 0)
    assert out.split("\n")[:2] == ["deleted", "nothing: the run was deleted"]
    assert "stepwell: live: the run was deleted in the service" in err
    assert sdk.count("runs", "live") == 0
    assert sdk.count("numbers", "live") == 0


def test_listeners_hear_of_a_deletion(sdk: Served) -> None:
    sdk.run(LOGGED, "one", "0")
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/projects/me/p/events"
    with httpx.stream("GET", url, timeout=30) as stream:
        lines = (json.loads(line[6:])["runs"] for line in stream.iter_lines() if line.startswith("data: "))
        assert [run["run_id"] for run in next(lines)] == ["one"]
        request(sdk, "DELETE", "runs/me/p/one", wait=20)
        # The run's last change may come as a line of its own before.
        assert next(runs for runs in lines if "deleted" in runs[0]) == [{"run_id": "one", "deleted": True}]


def test_changes_need_the_scope_and_are_recorded(broker: str, topics: Topics, sdk: Served) -> None:
    sdk.run(LOGGED, "one", "0")
    with serving_with_gateway(broker, topics, sdk.store, admin_key=ADMIN) as url:
        stored = KeyStore(sdk.store)
        made = {scope: stored.create(scope, "me", [Grant.parse(f"{scope}:me/p")])[0] for scope in ("read", "write")}
        keys = {scope: {"Authorization": f"Bearer {key.text}"} for scope, key in made.items()}
        none = {"Authorization": "Bearer x"}
        expected = {
            "PATCH runs/me/p/one": (401, 403, 200), "POST runs/me/p/one/stop": (401, 403, 200),
            "DELETE projects/me/p": (401, 403, 403), "PATCH runs/you/p/one": (401, 404, 404),
            "DELETE runs/me/p/one": (401, 403, 200),
        }  # fmt: skip
        for name, statuses in expected.items():
            method, path = name.split()
            body = {"name": "secret"} if method == "PATCH" else None
            found = [
                httpx.request(method, f"{url}/api/v1/{path}", json=body, headers=headers, timeout=30).status_code
                for headers in (none, keys["read"], keys["write"])
            ]
            assert tuple(found) == statuses, name

    def recorded() -> list[tuple[str, str]]:
        rows = sdk.store.query("SELECT action, run_id FROM {db}.audit WHERE startsWith(action, 'run.') ORDER BY time")
        return [(found["action"], found["run_id"]) for found in rows.to_pylist()]

    eventually(recorded, [("run.edit", "one"), ("run.stop", "one"), ("run.delete", "one")])
