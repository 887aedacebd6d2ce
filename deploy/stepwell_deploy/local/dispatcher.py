"""One address for the query service and the gateway: requests go to one of them by method and path.

Each of the two applications protects its own routes, so this one only chooses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

_PARAMETER: Final = re.compile(r"\{[^}]*\}")


class Dispatcher:
    """Sends what the gateway serves to it, and all other requests to the query service.

    A path that the gateway alone serves is its own with every method, so that a wrong method is answered with 405 and
    the right ones. Of a path that both serve, the gateway gets the methods that it declares.
    """

    def __init__(self, query: FastAPI, gateway: ASGIApp, routers: Sequence[APIRouter]) -> None:
        """Combine two applications; `routers` are those of the gateway's routes."""
        self._query = query
        self._gateway = gateway
        shared = {_template(path) for path in query.openapi()["paths"]}
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._routes = [
            (route.path_regex, route.methods if _template(route.path) in shared else None) for route in routes
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        app: ASGIApp = self._gateway if self._is_gateways(scope) else self._query
        await app(scope, receive, send)

    def _is_gateways(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        path, method = scope["path"], scope["method"]
        return any(regex.match(path) and (methods is None or method in methods) for regex, methods in self._routes)


def merge_documents(query: FastAPI, gateway: FastAPI) -> None:
    """Have the query service's `/openapi.json`, and with it `/docs`, describe the gateway's routes, too."""
    document = query.openapi()
    other = gateway.openapi()
    for path, methods in other["paths"].items():
        known = document["paths"].setdefault(path, {})
        known.update({method: operation for method, operation in methods.items() if method not in known})
    for kind, items in other.get("components", {}).items():
        known = document.setdefault("components", {}).setdefault(kind, {})
        known.update({name: item for name, item in items.items() if name not in known})
    document["info"]["description"] += f"\n\n{_last_paragraphs(other)}"


def _last_paragraphs(document: dict[str, Any]) -> str:
    return str(document["info"]["description"]).partition("\n\n")[0]


def _template(path: str) -> str:
    return _PARAMETER.sub("{}", path)
