"""The SQL condition that selects the rows of resources; its values travel as parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stepwell_schemas.access.grants import ANY, Resource

RESOURCES_CONDITION: Final = (
    "({all_entities:UInt8} = 1 OR entity IN {entities:Array(String)}"
    " OR (entity, project) IN {projects:Array(Tuple(String, String))})"
)
"""Rows of some resources, in any table with the columns `entity` and `project`."""


def resources_parameters(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the parameters of RESOURCES_CONDITION; no resource selects no row."""
    given = list(resources)
    return {
        "all_entities": int(Resource() in given),
        "entities": [one.entity for one in given if one.project == ANY and one.entity != ANY],
        "projects": [tuple(one) for one in given if one.project != ANY],
    }
