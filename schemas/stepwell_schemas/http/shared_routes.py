"""Routes that the applications of a process share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute


def share_routes(routers: Iterable[APIRouter], responses: dict[int | str, dict[str, Any]]) -> Sequence[BaseRoute]:
    """Return the routes of routers, for `app.router.routes` of any number of applications.

    FastAPI builds the routes of an included router at an application's first request, which takes longer than the
    request. Applications can share them, because what a request needs of its application is in `app.state`.

    Args:
        routers: in the order in which their routes are tried.
        responses: responses that all routes describe.
    """
    whole = APIRouter(responses=responses)
    for router in routers:
        whole.include_router(router)
    return whole.routes
