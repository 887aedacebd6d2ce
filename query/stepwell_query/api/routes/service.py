"""The service itself: connection settings, liveness, readiness and Prometheus metrics."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from stepwell_query.api.dependencies import ContextDep
from stepwell_query.api.params.runs import RUNS_DEFAULT, RUNS_MAX
from stepwell_query.encoding import json_bytes
from stepwell_query.readiness import UP
from stepwell_query.rows.history import SAMPLES_MAX
from stepwell_query.runs.columns import COLUMNS_MAX
from stepwell_query.runs.fields import RUN_FIELDS
from stepwell_query.series.models import POINTS_MAX
from stepwell_query.telemetry import exposition
from stepwell_schemas.access.authorize import Target, public, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import Method
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import problem
from stepwell_schemas.limits import KEY_MAX_CHARS, MAX_EVENT_BYTES, MAX_STEP

_log = structlog.get_logger("stepwell.query")
router = APIRouter(tags=["service"], route_class=AccessRoute)


@router.get("/api/v1/connect")
@requires(Scope.READ, Target.ANYTHING)
async def connect(context: ContextDep, identity: IdentityDep) -> dict[str, Any]:
    """Return brokers, topics and transports for producers, and limits for readers; `open` if no key is required."""
    settings = context.settings
    return {
        "version": version("stepwell"),
        "open": identity.method is Method.OPEN,
        "kafka": {
            "bootstrap_servers": settings.kafka_bootstrap_servers,
            "security_protocol": settings.kafka_security_protocol,
        },
        "gateway": {"url": settings.gateway_url},
        "transports": settings.advised_transports,
        "topics": {"events": settings.events_topic, "deadletters": settings.deadletters_topic},
        "limits": {
            "points": POINTS_MAX,
            "samples": SAMPLES_MAX,
            "series": settings.query_max_series,
            "values": settings.query_max_cells,
            "runs": RUNS_MAX,
            "first_runs": RUNS_DEFAULT,
            "columns": COLUMNS_MAX,
            "key_characters": KEY_MAX_CHARS,
            "step": MAX_STEP,
            "event_bytes": MAX_EVENT_BYTES,
            "sql_seconds": settings.sql_max_seconds,
            "sql_rows": settings.sql_max_rows,
            "sql_bytes": settings.sql_max_bytes,
        },
        "run_fields": [field.describe() for field in RUN_FIELDS],
    }


@router.get("/healthz")
@public
async def healthz() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
@public
async def readyz(context: ContextDep) -> Response:
    """Report the readiness of every part: ClickHouse with its schema, and in `stepwell up` the broker and ingestor."""
    parts = await context.readiness.parts()
    fields = {part.name: part.fields() for part in parts}
    missing = [part.name for part in parts if part.state != UP]
    if missing:
        detail = f"not ready: {', '.join(missing)}"
        return problem(503, ProblemType.NOT_READY, "Service not ready", detail, members={"parts": fields})
    return Response(json_bytes({"status": "ready", "parts": fields}), media_type="application/json")


@router.get("/metrics")
@requires(Scope.READ, Target.EVERYTHING)
async def metrics() -> Response:
    """Return the metrics of this process for Prometheus."""
    return Response(exposition(), media_type=CONTENT_TYPE_LATEST)
