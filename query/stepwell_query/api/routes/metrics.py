"""What several runs have logged together."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from stepwell_query.api.context import Shared, encoded
from stepwell_query.api.params.common import Parameters
from stepwell_query.api.params.runs import RUNS_MAX
from stepwell_query.encoding import Format, json_bytes
from stepwell_query.runs.metrics import read_run_metrics
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1", tags=["runs"])


class RunMetricsBody(Parameters):
    """The body of POST metrics."""

    run_ids: list[str] = Field(max_length=RUNS_MAX, description="Ids of runs of the project.")


@router.post("/projects/{entity}/{project}/metrics")
async def run_metrics(entity: str, project: str, body: RunMetricsBody, context: Shared) -> Response:
    """List what some runs of a project have logged together, in columns, sorted by `key` and `kind`.

    `first_step` and `last_step` are over all of them, `runs` is how many have the metric. `folded` is what all
    spellings of a key share. Runs that do not exist have none.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)
    for run_id in body.run_ids:
        check_identifier("run_ids", run_id)

    def read() -> bytes:
        return json_bytes({"metrics": read_run_metrics(context.store, entity, project, body.run_ids)})

    return encoded(await context.in_thread(read), Format.JSON)
