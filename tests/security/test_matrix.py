"""The matrix of (key, route, project): each request has the status that its key's scope implies, and shows no more.

The table of routes is written down here a second time, on purpose: a new route needs a line, and its author a thought.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from stepwell_query.api.app import FRAMEWORK_ROUTES, create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.routes import SCHEMA_FIELD, check_routes

from .conftest import INVALID, PROJECTS, RESOURCES, SCOPES, Secured, marker


class Rule(NamedTuple):
    """The scope that a route requires, and over what: `project` of its path, `any` data, `all` data; or nothing.

    A `page` shows no data, and leads to the sign-in page without an identity; `self` is what shows the identity alone.
    """

    scope: str = ""
    over: str = ""


PUBLIC = Rule()
PAGE = Rule(over="page")
OF_SELF = Rule(over="self")
OF_PROJECT = Rule("read", "project")
OF_ANY = Rule("read", "any")
OF_ALL = Rule("read", "all")
ADMIN_OF_PROJECT = Rule("admin", "project")
ADMINISTERED = Rule("admin", "any")

RULES: Final[dict[str, Rule]] = {
    "GET /": PAGE,
    "GET /-/assets/{version}/{name:path}": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /healthz": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "HEAD /openapi.json": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /{entity}": PAGE,
    "GET /{entity}/{project}": PAGE,
    "GET /{entity}/{project}/{run_id}": PAGE,
    "GET /signin": PUBLIC,
    "POST /signin": PUBLIC,
    "GET /signin/provider": PUBLIC,
    "GET /signin/callback": PUBLIC,
    "POST /signout": PUBLIC,
    "GET /api/v1/signin": PUBLIC,
    "GET /metrics": OF_ALL,
    "POST /api/v1/sql": OF_ANY,
    "GET /api/v1/audit": Rule("admin", "any"),
    "GET /api/v1/connect": OF_ANY,
    "GET /api/v1/whoami": OF_ANY,
    "GET /api/v1/keys": ADMINISTERED,
    "POST /api/v1/keys": ADMINISTERED,
    "DELETE /api/v1/keys/{key_id}": ADMINISTERED,
    "GET /api/v1/projects": OF_ANY,
    "POST /api/v1/series": OF_ANY,
    "POST /api/v1/groups": OF_ANY,
    "GET /api/v1/media/{sha256}": OF_ANY,
    "HEAD /api/v1/media/{sha256}": OF_ANY,
    "GET /api/v1/media/{sha256}/page": OF_ANY,
    "GET /api/v1/media/{sha256}/rows": OF_ANY,
    "GET /api/v1/projects/{entity}/{project}/events": OF_PROJECT,
    "GET /api/v1/projects/{entity}/{project}/runs": OF_PROJECT,
    "GET /api/v1/projects/{entity}/{project}/runs/columns": OF_PROJECT,
    "POST /api/v1/projects/{entity}/{project}/metrics": OF_PROJECT,
    "GET /api/v1/projects/{entity}/{project}/retention": ADMIN_OF_PROJECT,
    "PUT /api/v1/projects/{entity}/{project}/retention": ADMIN_OF_PROJECT,
    "POST /api/v1/projects/{entity}/{project}/retention/preview": ADMIN_OF_PROJECT,
    "POST /api/v1/projects/{entity}/{project}/retention/run": ADMIN_OF_PROJECT,
    "DELETE /api/v1/projects/{entity}/{project}/retention": ADMIN_OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/history": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/metrics": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/scan": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/series": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/sessions": OF_PROJECT,
    "GET /api/v1/runs/{entity}/{project}/{run_id}/sessions/{session}": OF_PROJECT,
}

BODIES: Final[dict[str, Any]] = {
    "/api/v1/sql": {"sql": "SELECT 1"},
    "/api/v1/series": {"runs": [f"{entity}/{project}/run" for entity, project in PROJECTS], "keys": ["loss"]},
    "/api/v1/groups": {"runs": [f"{entity}/{project}/run" for entity, project in PROJECTS], "keys": ["loss"]},
    "/api/v1/projects/{entity}/{project}/metrics": {"run_ids": ["run"]},
    "/api/v1/projects/{entity}/{project}/retention": {"raw": "9999w"},
    "/api/v1/projects/{entity}/{project}/retention/preview": {"raw": "1h", "media": "1h"},
    "/api/v1/projects/{entity}/{project}/retention/run": {},
}
QUERIES: Final = {"/api/v1/runs/{entity}/{project}/{run_id}/series": {"key": "loss"}}
# Without end: `test_streams` has them. Never a success: no session of these runs is stored.
SEPARATE: Final = "/api/v1/projects/{entity}/{project}/events"
ALWAYS_404: Final = "/api/v1/runs/{entity}/{project}/{run_id}/sessions/{session}"
MEDIA: Final = {"/api/v1/media/{sha256}/rows": "table", "/api/v1/media/{sha256}/page": "page"}

VALID: Final = ["admin key", *(f"{scope}:{resource}" for scope in SCOPES for resource in RESOURCES)]
KEYS: Final[list[str | None]] = [None, *INVALID, *VALID]

READERS: Final = [None, *(f"read:{resource}" for resource in RESOURCES)]


def has_scope(key: str, scope: str, resource: tuple[str, str] | None) -> bool:
    """Return True if a key has a scope over a project, or over all data: the rule in its plainest form."""
    if key == "admin key":
        return True
    own, _, over = key.partition(":")
    if SCOPES.index(own) < SCOPES.index(scope):
        return False
    return over == "*" or (resource is not None and over in {resource[0], "/".join(resource)})


def expected_status(rule: Rule, key: str | None, project: tuple[str, str]) -> int:
    """Return the status that a key must get; 200 stands for every success."""
    if rule is PUBLIC:
        return 200
    if rule is PAGE:
        return 303 if key is None or key in INVALID else 200
    if key is None or key in INVALID:
        return 401
    if rule.over == "project":
        if not has_scope(key, "read", project):
            return 404
        return 200 if has_scope(key, rule.scope, project) else 403
    if rule.over == "any" and key != "admin key" and SCOPES.index(key.partition(":")[0]) < SCOPES.index(rule.scope):
        return 403
    if rule.over == "all":
        return 200 if has_scope(key, rule.scope, None) else 403
    if not rule.scope:
        return 200
    return 200 if SCOPES.index(scope_of(key)) >= SCOPES.index(rule.scope) else 403


def scope_of(key: str) -> str:
    """Return the scope of a key over whatever it is for."""
    return "admin" if key == "admin key" else key.partition(":")[0]


def requests(secured: Secured, project: tuple[str, str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield a valid request to each route: its name, method, path, and further arguments."""
    for name in RULES:
        method, path = name.split(" ", 1)
        if path == SEPARATE or path.startswith("/sign"):
            continue  # `test_sessions` has those that sign in and out.
        sha256 = secured.files[project][MEDIA.get(path, "file")]
        if path.startswith("/api/v1/keys") and method != "GET":
            continue  # `test_keys` creates and revokes.
        names = {"entity": project[0], "project": project[1], "run_id": "run", "session": "s", "sha256": sha256}
        if path.startswith("/-/"):
            continue  # Its version is that of the page's files; test_page_service has them.
        more: dict[str, Any] = {"params": QUERIES.get(path, {})}
        if method in {"POST", "PUT"}:
            more["json"] = BODIES[path]
        yield name, method, path.format(**names), more


def test_every_route_has_a_rule_and_declares_its_access(secured: Secured) -> None:
    """A new route fails here until it has a line above, and at the service's start until it declares its access."""
    declared = check_routes(secured.app.routes, FRAMEWORK_ROUTES)
    assert set(declared) == set(RULES)
    targets = {"": "none", "project": "path", "any": "anything", "all": "everything", "page": "none", "self": "none"}
    for name, rule in RULES.items():
        assert declared[name].target == targets[rule.over], name
        assert not rule.scope or declared[name].scope == rule.scope, name


def test_the_api_document_shows_the_access_of_every_operation(secured: Secured) -> None:
    """The document has no operation that the table lacks, and names scope and schemes of each."""
    document = secured.call("GET", "/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rule = RULES[f"{method.upper()} {path}"]
            assert operation[SCHEMA_FIELD].startswith(rule.scope or "public")
            assert bool(operation["security"]) == bool(rule.scope)
            named = {scheme for entry in operation["security"] for scheme in entry}
            assert named <= set(document["components"]["securitySchemes"])


@pytest.mark.parametrize("project", PROJECTS, ids="/".join)
def test_statuses(secured: Secured, project: tuple[str, str]) -> None:
    """Each key × route of a project has its status; no answer shows anything of a project that the key may not read.

    One project with all keys; of the others, scopes above `read` have nothing to add.
    """

    async def ask() -> list[str]:
        wrong = []
        for key in KEYS if project == PROJECTS[0] else READERS:
            async with secured.client(key) as client:
                for name, method, path, more in requests(secured, project):
                    answer = await client.request(method, path, **more)
                    rule = RULES[name]
                    status = expected_status(rule, key, project)
                    if "/media/" in path and status == 200 and not has_scope(str(key), "read", project):
                        status = 404
                    if name.endswith(ALWAYS_404) and status == 200:
                        status = 404
                    if answer.status_code != status:
                        wrong.append(f"{key} {method} {path}: {answer.status_code}, not {status}")
                    wrong += check_answer(secured, key, name, answer)
        return wrong

    assert asyncio.run(ask()) == []


def check_answer(secured: Secured, key: str | None, name: str, answer: Any) -> list[str]:
    """Return what is wrong about an answer, besides its status."""
    shown = answer.text + str(answer.headers)
    valid = key is not None and key not in INVALID
    hidden = [other for other in PROJECTS if not (valid and has_scope(str(key), "read", other))]
    wrong = [f"{key} {name}: shows {'/'.join(other)}" for other in hidden if marker(*other) in shown]
    if key is not None and len(secured.texts[key]) > 1 and secured.texts[key] in shown:
        wrong.append(f"{key} {name}: shows the key")
    if answer.status_code in {401, 403} and not name.startswith("HEAD") and not answer.json()["detail"]:
        wrong.append(f"{key} {name}: no remedy")
    if answer.status_code == 401 and "bearer" not in answer.headers["www-authenticate"].lower():
        wrong.append(f"{key} {name}: no challenge")
    if valid and RULES[name].scope and "public" in answer.headers.get("cache-control", ""):
        wrong.append(f"{key} {name}: shared caches may store it")
    return wrong


@pytest.mark.parametrize("key", VALID)
def test_lists_have_what_the_key_may_read_alone(secured: Secured, key: str) -> None:
    """Projects, many series and groups leave out what the key may not read, as if it did not exist."""
    readable = {"/".join(project) for project in PROJECTS if has_scope(key, "read", project)}
    listed = secured.call("GET", "/api/v1/projects", key).json()["projects"]
    assert {f"{row['entity']}/{row['project']}" for row in listed} == readable
    body = BODIES["/api/v1/series"]
    unknown = [run for run in body["runs"] if run.removesuffix("/run") not in readable]
    answer = secured.call("POST", "/api/v1/series", key, json=body).json()
    assert ([run["run"] for run in answer["runs"]], answer["unknown_runs"]) == (
        [run for run in body["runs"] if run not in unknown],
        unknown,
    )
    for by in ({}, {"group_by": "state"}, {"group_by": "config.lr"}):
        groups = secured.call("POST", "/api/v1/groups", key, json=body | by).json()
        assert groups["unknown_runs"] == unknown
        assert sum(len(group["runs"]) for group in groups["groups"]) == len(readable)


def test_tags_and_cached_answers_are_not_shared_between_keys(secured: Secured) -> None:
    """A tag of a key that reads more does not match for one that reads less; nor does its answer serve it."""
    for path in ("/api/v1/series", "/api/v1/groups"):
        body = BODIES[path]
        every = secured.call("POST", path, "read:*", json=body)
        less = secured.call("POST", path, "read:alpha/one", json=body, headers={"if-none-match": every.headers["etag"]})
        assert (every.status_code, less.status_code) == (200, 200)
        assert every.headers["etag"] != less.headers["etag"]
        assert len(less.json()["unknown_runs"]) == 2
        again = secured.call("POST", path, "read:alpha/one", json=body, headers={"if-none-match": less.headers["etag"]})
        assert again.status_code == 304


def test_a_file_of_several_projects_is_read_by_the_keys_of_each(secured: Secured) -> None:
    """Equal bytes have one address; a run that logs them makes them readable with its own project's keys."""
    sha256 = secured.files["beta", "one"]["shared"]
    for key in ("read:alpha/one", "read:alpha", "read:*"):
        assert secured.call("GET", f"/api/v1/media/{sha256}", key).status_code == 200


def test_a_file_that_has_not_come_names_no_run_of_another_project(secured: Secured) -> None:
    """The error of a pending file names the run that refers to it; to others the file is unknown."""
    sha256 = secured.files["beta", "one"]["pending"]
    seen, hidden = (secured.call("GET", f"/api/v1/media/{sha256}", key) for key in ("read:*", "read:alpha"))
    assert (seen.json()["type"], "beta/one" in seen.text) == ("urn:stepwell:problem:media-pending", True)
    assert (hidden.json()["type"], "beta" in hidden.text) == ("urn:stepwell:problem:media-unknown", False)


def test_a_cached_table_is_not_shown_to_other_keys(secured: Secured) -> None:
    """The cache of tables is by content; the access to it is not."""
    sha256 = secured.files["beta", "one"]["table"]
    path = f"/api/v1/media/{sha256}/rows"
    statuses = [secured.call("GET", path, key).status_code for key in ("read:*", "read:alpha", "read:*", None)]
    assert statuses == [200, 404, 200, 401]


def test_what_exists_and_what_does_not_are_not_distinguished(secured: Secured) -> None:
    """Answers about a hidden project, and about one that does not exist, are the same."""
    answers = []
    for project in ("beta/one", "beta/none"):
        hidden = secured.call("GET", f"/api/v1/projects/{project}/runs", "read:alpha")
        answers.append((hidden.status_code, hidden.text.replace(project, "PROJECT")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_a_service_does_not_start_with_an_undeclared_route(chdb_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route of the framework's own class fails the start, wherever it is."""
    from fastapi import APIRouter

    from stepwell_query.api import app
    from stepwell_schemas.access.authorize import UndeclaredAccessError
    from stepwell_schemas.access.routes import AccessRoute
    from stepwell_schemas.http.shared_routes import share_routes

    def forgotten() -> None:
        """Declare nothing."""

    router = APIRouter(prefix="/api/v1")
    router.add_api_route("/forgotten", forgotten)
    monkeypatch.setattr(app, "_ROUTES", [*app._ROUTES, *share_routes([router], {})])
    with pytest.raises(UndeclaredAccessError, match="forgotten"):
        create_app(QuerySettings(), chdb_store)
    with pytest.raises(UndeclaredAccessError, match="forgotten"):
        AccessRoute("/forgotten", forgotten)
