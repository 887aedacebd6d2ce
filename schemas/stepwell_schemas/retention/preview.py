"""A preview of a policy: what would go at a time, counted in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepwell_schemas.clickhouse.run_rows import TableRows
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.retention.due import count_due, plan_cuts, read_writers
from stepwell_schemas.retention.old_media import find_old_media
from stepwell_schemas.retention.policies import Project
from stepwell_schemas.retention.policy import Policy


class Preview(NamedTuple):
    """The amounts that go: runs that lose rows, rows and bytes by table, and media files with their bytes."""

    runs: int
    tables: Sequence[TableRows]
    files: int
    file_bytes: int


def preview(store: Store, project: Project, policy: Policy, now: int) -> Preview:
    """Return what a policy removes at a time in milliseconds since the epoch; changes nothing. Raises: StoreError."""
    planned = plan_cuts(store, project, policy, now, read_writers(store, project))
    cuts = [cut for some in planned for cut in some]
    runs = {cut.state.run_id for cut in cuts if cut.rises}
    files = find_old_media(store, project, policy, now)
    return Preview(len(runs), count_due(store, project, cuts), len(files), sum(files.values()))
