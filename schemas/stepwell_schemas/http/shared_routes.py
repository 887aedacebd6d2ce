"""Routes that the applications of a process share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute


class SharedRoutes:
    """Includes routers in applications as FastAPI does, but builds their routes once.

    FastAPI builds the routes of an included router at an application's first request, which takes longer than the
    request. Applications can share them, because what a request needs of its application is in `app.state`.

    Args:
        responses: responses that all routes describe.
    """

    def __init__(self, responses: dict[int | str, dict[str, Any]]) -> None:
        self._responses = responses
        # By the identities of the routers, which the routes keep alive.
        self._built: dict[tuple[int, ...], Sequence[BaseRoute]] = {}

    def include(self, app: FastAPI, routers: Sequence[APIRouter]) -> None:
        """Add the routes of routers to an application."""
        key = tuple(map(id, routers))
        if key not in self._built:
            whole = APIRouter(responses=self._responses)
            for router in routers:
                whole.include_router(router)
            self._built[key] = whole.routes
        app.router.routes.extend(self._built[key])
