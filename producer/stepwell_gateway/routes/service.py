"""The gateway itself: liveness, readiness and Prometheus metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from stepwell_gateway.context import ContextDep
from stepwell_gateway.telemetry import exposition
from stepwell_schemas.access.authorize import Target, public, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import problem

router = APIRouter(tags=["service"], route_class=AccessRoute)


@router.get("/healthz")
@public
async def healthz() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
@public
async def readyz(context: ContextDep) -> Response:
    """Report whether events can be written: the gateway is connected to the brokers."""
    reason = context.log.reason
    parts = {"kafka": {"state": "down" if reason else "up", "reason": "unavailable" if reason else ""}}
    if reason:
        return problem(503, ProblemType.NOT_READY, "Service not ready", "not ready: kafka", members={"parts": parts})
    return JSONResponse({"status": "ready", "parts": parts})


@router.get("/metrics")
@requires(Scope.READ, Target.EVERYTHING)
async def metrics() -> Response:
    """Return the metrics of this process for Prometheus."""
    return Response(exposition(), media_type=CONTENT_TYPE_LATEST)
