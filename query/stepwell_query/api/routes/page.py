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
"""First parts of paths that are no entities here: what is unknown below them is a 404, not a page."""

_SAFETY = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
_PLAIN = "!~*'()"
"""What JavaScript's encodeURIComponent leaves as it is besides what `quote` does."""

_FIRST_RUNS = 50
"""FIRST_PAGE of runs_model.js."""

_FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def _page() -> Page:
    return Page.read()


def prepare() -> None:
    """Begin to read and to compress the page's files, beside the loop, so that the first visitor waits for neither."""

    def work() -> None:
        # Where the libraries are missing, the visitor is told.
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
    """Return the page; which project or run it shows, its scripts read from the address."""
    names = [request.path_params[name] for name in ("entity", "project", "run_id") if name in request.path_params]
    if names and names[0] in _RESERVED:
        raise HTTPException(404)
    ahead = f"<{_first_question(names)}>; rel=preload; as=fetch; crossorigin"
    return _document(request, lambda page: page.document, PAGE_POLICY, link=ahead)


def _document(request: Request, chosen: Callable[[Page], Asset], policy: str, **more: str) -> Response:
    try:
        asset = chosen(_page())
    except AssetsMissingError as error:
        return problem(503, "page-incomplete", "The page can't be shown", str(error))
    return _answer(request, asset, {"content-security-policy": policy, "cache-control": "no-cache", **more})


def _first_question(names: list[str]) -> str:
    """Return what the page's scripts will ask first: a browser that knows asks it while it still loads them."""
    path = "/".join(quote(name, safe=_PLAIN) for name in names)
    if not names:
        return "/api/v1/projects"
    return (
        f"/api/v1/runs/{path}"
        if len(names) > 2
        else f"/api/v1/projects/{path}/runs?order=-created_at&limit={_FIRST_RUNS}"
    )


@router.get(ASSETS + "/{version}/{name:path}")
async def asset(version: str, name: str, request: Request) -> Response:
    """Return one of the page's files, to be kept for good under this address."""
    page = _page()
    file = page.assets.get(name)
    if version != page.version or file is None:
        raise HTTPException(404)
    policy = {"content-security-policy": FRAME_POLICY} if name.endswith(".html") else {}
    return _answer(request, file, {"cache-control": _FOR_GOOD, **policy})


def _answer(request: Request, file: Asset, headers: dict[str, str]) -> Response:
    headers = {**_SAFETY, **headers, "etag": file.etag, "vary": "accept-encoding"}
    if file.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    content, coding = file.encoded(request.headers.get("accept-encoding", ""))
    if coding:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=file.content_type)
