"""Metrics of several runs together."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from stepwell_query.api.dependencies import ContextDep
from stepwell_query.api.negotiation import encode_response
from stepwell_query.api.params.common import Parameters
from stepwell_query.api.params.runs import RUNS_MAX
from stepwell_query.encoding import Format, json_bytes
from stepwell_query.runs.metrics import read_run_metrics
from stepwell_schemas.access.authorize import requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=AccessRoute)


class RunMetricsBody(Parameters):
    """The body of POST metrics."""

    run_ids: list[str] = Field(max_length=RUNS_MAX, description="Ids of runs of the project.")


@router.post("/projects/{entity}/{project}/metrics")
@requires(Scope.READ)
async def run_metrics(entity: str, project: str, body: RunMetricsBody, context: ContextDep) -> Response:
    """List the metrics of some runs of a project together, in columns, sorted by `key` and `kind`.

    `first_step` and `last_step` are over all these runs, `runs` is the number of runs with the metric, and `writers`
    the number of named writers that logged it. Runs that do not exist have no metrics. `folded` is the same for all
    spellings of a key.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)
    for run_id in body.run_ids:
        check_identifier("run_ids", run_id)

    def read() -> bytes:
        return json_bytes({"metrics": read_run_metrics(context.store, entity, project, body.run_ids)})

    return encode_response(await context.in_thread(read), Format.JSON)
