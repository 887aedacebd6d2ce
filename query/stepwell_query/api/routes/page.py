"""The web page: its document at the URLs of entities, projects and runs, and its files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from stepwell_query.access.sign_in_page import sign_in_address
from stepwell_query.web_assets import ASSETS, DOCS_POLICY, FRAME_POLICY, PAGE_POLICY, Asset, AssetsMissingError, Page
from stepwell_schemas.access.authorize import public
from stepwell_schemas.access.middleware import REFUSAL
from stepwell_schemas.access.refusals import UNAUTHENTICATED
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import problem

router = APIRouter(tags=["page"], include_in_schema=False, route_class=AccessRoute)

_RESERVED = frozenset({"api", "-", "favicon.ico", "robots.txt", "signin", "signout"})
"""First path segments that are not entities: unknown paths below them are a 404 and not a page."""

_SAFETY = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
_PLAIN = "!~*'()"
"""Characters that JavaScript's encodeURIComponent leaves unescaped in addition to those of `quote`."""

_IMMUTABLE = "public, max-age=31536000, immutable"


@cache
def read_page() -> Page:
    """Return the page's files. Raises: AssetsMissingError."""
    return Page.read()


def prepare() -> None:
    """Read and compress the page's files in a thread, so that the first visitor does not wait for it."""

    def work() -> None:
        # Missing libraries are reported to visitors by `_document`.
        with suppress(AssetsMissingError):
            read_page().compress()

    threading.Thread(target=work, name="page", daemon=True).start()


@router.get("/docs")
@public
async def docs(request: Request) -> Response:
    """Return the page that documents the API; all its resources are served by this service."""
    return _document(request, lambda page: page.docs, DOCS_POLICY)


@router.get("/")
@router.get("/{entity}")
@router.get("/{entity}/{project}")
@router.get("/{entity}/{project}/{run_id}")
@public
async def document(request: Request) -> Response:
    """Return the page; its scripts read the entity, project or run from the URL."""
    names = [request.path_params[name] for name in ("entity", "project", "run_id") if name in request.path_params]
    if names and names[0] in _RESERVED:
        raise HTTPException(404)
    refusal = request.scope.get(REFUSAL)
    if refusal is not None and refusal.kind == UNAUTHENTICATED:
        address = sign_in_address(request.url.path, request.url.query)
        return Response(status_code=303, headers={"location": address, "cache-control": "no-store"})
    preloads = [f"<{address}>; rel=preload; as=fetch; crossorigin" for address in _first_requests(names)]
    return _document(request, lambda page: page.document, PAGE_POLICY, link=", ".join(preloads))


def _document(request: Request, chosen: Callable[[Page], Asset], policy: str, **more: str) -> Response:
    try:
        asset = chosen(read_page())
    except AssetsMissingError as error:
        return problem(503, ProblemType.PAGE_INCOMPLETE, "Page unavailable", str(error))
    return _answer(request, asset, {"content-security-policy": policy, "cache-control": "no-cache", **more})


def _first_requests(names: list[str]) -> list[str]:
    """Return the addresses that the page's scripts request first, so that browsers request them before the scripts.

    The first page of runs has the service's default length: neither side needs a number for it.
    """
    path = "/".join(quote(name, safe=_PLAIN) for name in names)
    if len(names) < 2:
        return ["/api/v1/projects"]
    first = f"/api/v1/runs/{path}" if len(names) > 2 else f"/api/v1/projects/{path}/runs?order=-created_at"
    return [first, "/api/v1/connect"]


@router.get(ASSETS + "/{version}/{name:path}")
@public
async def asset(version: str, name: str, request: Request) -> Response:
    """Return one of the page's files, which caches may keep indefinitely."""
    page = read_page()
    file = page.assets.get(name)
    if version != page.version or file is None:
        raise HTTPException(404)
    policy = {"content-security-policy": FRAME_POLICY} if name.endswith(".html") else {}
    # Frames that draw users' figures have an opaque origin, and load their scripts from here.
    return _answer(
        request, file, {"cache-control": _IMMUTABLE, "cross-origin-resource-policy": "cross-origin", **policy}
    )


def _answer(request: Request, file: Asset, headers: dict[str, str]) -> Response:
    headers = {**_SAFETY, **headers, "etag": file.etag, "vary": "accept-encoding"}
    if file.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    content, coding = file.encoded(request.headers.get("accept-encoding", ""))
    if coding:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=file.content_type)
