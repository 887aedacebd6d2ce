"""The web page: its document at the addresses of projects and runs, and its files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from stepwell_query.api.problems import problem
from stepwell_query.web_assets import ASSETS, DOCS_POLICY, FRAME_POLICY, PAGE_POLICY, Asset, AssetsMissingError, Page

router = APIRouter(tags=["page"], include_in_schema=False)

_RESERVED = frozenset({"api", "-"})
"""First parts of paths that are not entities: an unknown path below them is a 404, not a page."""

_SAFETY = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
_PLAIN = "!~*'()"
"""Characters that JavaScript's encodeURIComponent keeps and `quote` would encode."""

_FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def _page() -> Page:
    return Page.read()


def prepare() -> None:
    """Read and compress the page's files in a thread, so that the first visitor does not wait for it."""

    def work() -> None:
        # If the libraries are missing, requests for the page report it.
        with suppress(AssetsMissingError):
            _page().compress()

    threading.Thread(target=work, name="page", daemon=True).start()


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the page that shows the API; all that it loads is this service's own."""
    return _document(request, lambda page: page.docs, DOCS_POLICY)


@router.get("/")
@router.get("/{entity}/{project}")
@router.get("/{entity}/{project}/{run_id}")
async def document(request: Request) -> Response:
    """Return the page. Its scripts read from the address which project or run to show."""
    names = [request.path_params[name] for name in ("entity", "project", "run_id") if name in request.path_params]
    if names and names[0] in _RESERVED:
        raise HTTPException(404)
    preloads = [f"<{address}>; rel=preload; as=fetch; crossorigin" for address in _first_requests(names)]
    return _document(request, lambda page: page.document, PAGE_POLICY, link=", ".join(preloads))


def _document(request: Request, chosen: Callable[[Page], Asset], policy: str, **more: str) -> Response:
    try:
        asset = chosen(_page())
    except AssetsMissingError as error:
        return problem(503, "page-incomplete", "The page can't be shown", str(error))
    return _answer(request, asset, {"content-security-policy": policy, "cache-control": "no-cache", **more})


def _first_requests(names: list[str]) -> list[str]:
    """Return the addresses that the page's scripts request first, so that browsers request them before the scripts.

    The first page of runs has the service's default length: neither side needs a number for it.
    """
    path = "/".join(quote(name, safe=_PLAIN) for name in names)
    if not names:
        return ["/api/v1/projects"]
    first = f"/api/v1/runs/{path}" if len(names) > 2 else f"/api/v1/projects/{path}/runs?order=-created_at"
    return [first, "/api/v1/connect"]


@router.get(ASSETS + "/{version}/{name:path}")
async def asset(version: str, name: str, request: Request) -> Response:
    """Return one of the page's files, which caches may keep indefinitely."""
    page = _page()
    found = page.assets.get(name)
    if version != page.version or found is None:
        raise HTTPException(404)
    policy = {"content-security-policy": FRAME_POLICY} if name.endswith(".html") else {}
    return _answer(request, found, {"cache-control": _FOR_GOOD, **policy})


def _answer(request: Request, file: Asset, headers: dict[str, str]) -> Response:
    headers = {**_SAFETY, **headers, "etag": file.etag, "vary": "accept-encoding"}
    if file.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    content, coding = file.encoded(request.headers.get("accept-encoding", ""))
    if coding:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=file.content_type)
