"""Media files that are older than their project keeps them. Rows that refer to them stay, and do not count any more.

The files leave as those of deleted runs do: after the grace time, unless another run or a later value refers to them.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from typing import Any, Final

from stepwell_schemas.clickhouse.run_rows import note_unreferenced
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PROJECT_CONDITION
from stepwell_schemas.retention.policies import Project
from stepwell_schemas.retention.policy import Policy, oldest_kept

_NAMED: Final = f"""
SELECT run_id, sha256 FROM
(
    SELECT toString(run_id) AS run_id, arrayJoin(extractAll(value, '[0-9a-f]{{64}}')) AS sha256, timestamp
    FROM {{db}}.points_media FINAL WHERE {PROJECT_CONDITION}
)
GROUP BY run_id, sha256 HAVING max(timestamp) < fromUnixTimestamp64Milli({{since:Int64}})
"""
OLD_FILES: Final = f"""
SELECT sha256, run_id, size, content_type, version FROM {{db}}.media_files FINAL
WHERE {PROJECT_CONDITION} AND NOT removed AND (run_id, sha256) IN ({_NAMED})
"""
"""The files of a project that only values older than `since` refer to, by run."""

_RELEASE: Final = (
    "INSERT INTO {db}.media_files (sha256, size, content_type, entity, project, run_id, version, removed)"
    " SELECT sha256, size, content_type, {entity:String}, {project:String}, run_id, version, true"
    f" FROM ({OLD_FILES})"
)


def find_old_media(store: Store, project: Project, policy: Policy, now: int) -> dict[str, int]:
    """Return the sizes of the media files that a policy does not keep, by SHA-256. Raises: StoreError."""
    parameters = _parameters(project, policy, now)
    if parameters is None:
        return {}
    return {row["sha256"]: row["size"] for row in store.query(OLD_FILES, parameters).to_pylist()}


def release_media(store: Store, project: Project, policy: Policy, now: int) -> tuple[int, int]:
    """Let go of the media files that a policy does not keep; return their number and bytes. Raises: StoreError.

    Args:
        now: milliseconds since the epoch.
    """
    sizes = find_old_media(store, project, policy, now)
    if not sizes:
        return 0, 0
    # First the note: after an interruption between both, the files are still referred to, and are found again.
    note_unreferenced(store, sizes)
    store.command(_RELEASE, _parameters(project, policy, now) or {})
    return len(sizes), sum(sizes.values())


def _parameters(project: Project, policy: Policy, now: int) -> dict[str, Any] | None:
    since = oldest_kept(policy.media, now)
    return None if since is None else {**project._asdict(), "since": since}
