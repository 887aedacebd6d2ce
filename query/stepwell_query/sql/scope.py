"""Rows that an identity's SQL may see, as filters that ClickHouse itself applies to tables (decision 27).

The setting `additional_table_filters` adds a condition to every read of a table, wherever it stands: in views,
subqueries, joins, CTEs and scalar subqueries. Further settings keep that condition a step of its own, directly after
the read. A condition of the statement is then computed for visible rows only, so that neither its errors nor its time
depend on others. The settings belong to the session, so that no clause of the statement can hold them back.

Pure: no text of the statement is involved, and names become literals that have no quotes to escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stepwell_schemas.access.grants import ANY, Resource, Scope
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS

AUDIT_TABLE: Final = "audit_events"
FILTERS_MAX_CHARS: Final = 60_000
"""Characters of all filters. They travel in a URL, of which the ClickHouse port of `stepwell up` reads 128 KiB."""

STEP_SETTINGS: Final[Mapping[str, str]] = {
    # Keep the filter a step of its own before all conditions of the statement: none is moved to PREWHERE or merged,
    # as also those of joins are, and those that are compared with the conditions of projections.
    "enable_analyzer": "1",
    "optimize_move_to_prewhere": "0",
    "query_plan_merge_filters": "0",
    "enable_join_runtime_filters": "0",
    "optimize_use_projections": "0",
    "optimize_use_implicit_projections": "0",
    "query_plan_optimize_lazy_materialization": "0",
    # The cache of conditions is keyed by the statement's condition, and knows nothing of the filters.
    "use_query_condition_cache": "0",
    "use_query_cache": "0",
    # Statistics in answers would count rows that were read and filtered out.
    "output_format_write_statistics": "0",
}

_SYSTEM_DATABASES: Final = ("system", "information_schema", "INFORMATION_SCHEMA")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.@+-]*")
_NOTHING: Final = "0"


@dataclass(frozen=True, slots=True)
class RowScope:
    """The rows that an identity's statements see.

    Attributes:
        reads: the resources whose rows are visible; None for all rows.
        administers: the resources whose audit entries are visible.
        actor, method, key_id: the identity, whose own audit entries are visible.
    """

    reads: tuple[Resource, ...] | None
    administers: tuple[Resource, ...]
    actor: str
    method: str
    key_id: str

    def applies_to(self, statement: str) -> bool:
        """Return True if a statement needs filters; without limits of reading, only one that may name the audit log."""
        return self.reads is not None or "audit" in statement.lower()


def row_scope(identity: Identity) -> RowScope | None:
    """Return the rows that an identity's statements see; None if it sees everything."""
    if identity.allows(Scope.ADMIN):
        return None
    reads = None if identity.reads_all() else identity.resources(Scope.READ)
    return RowScope(reads, identity.resources(Scope.ADMIN), identity.name, str(identity.method), identity.key_id)


def limited_client(identity: Identity, address: str) -> str:
    """Return the name under which statements share limits: the identity's, and the address while it is unknown."""
    if identity.method is Method.OPEN:
        return address
    return f"key {identity.key_id}" if identity.key_id else f"{identity.method} {identity.name}"


def scope_settings(scope: RowScope, database: str, tables: Iterable[str]) -> dict[str, str]:
    """Return the settings of the session in which statements of a scope run.

    Args:
        scope: the visible rows.
        database: the database with the public views.
        tables: its tables with the columns `entity` and `project`.
    """
    filters = {f"{database}.{AUDIT_TABLE}": audit_condition(scope)}
    if scope.reads is not None:
        condition = resources_condition(scope.reads)
        filters = {f"{database}.{table}": condition for table in sorted(set(tables) - {AUDIT_TABLE})} | filters
        filters |= _described_tables(database)
    return {"additional_table_filters": map_literal(filters), **STEP_SETTINGS}


def nothing_settings(database: str, tables: Iterable[str]) -> dict[str, str]:
    """Return the settings under which no table has rows, by which it is checked that ClickHouse applies filters."""
    filters = {f"{database}.{table}": _NOTHING for table in tables}
    return {"additional_table_filters": map_literal(filters), **STEP_SETTINGS}


def resources_condition(resources: Iterable[Resource]) -> str:
    """Return the condition for the rows of resources, in the form in which ClickHouse uses the sort key for it."""
    given = list(resources)
    if any(one.entity == ANY for one in given):
        return "1"
    entities = [text_literal(one.entity) for one in given if one.project == ANY]
    projects = [(text_literal(one.entity), text_literal(one.project)) for one in given if one.project != ANY]
    parts = []
    if entities:
        parts.append(f"entity = {entities[0]}" if len(entities) == 1 else f"entity IN ({', '.join(entities)})")
    if len(projects) == 1:
        parts.append("(entity = {} AND project = {})".format(*projects[0]))
    elif projects:
        parts.append(f"(entity, project) IN ({', '.join(f'({entity}, {project})' for entity, project in projects)})")
    return " OR ".join(parts) or _NOTHING


def audit_condition(scope: RowScope) -> str:
    """Return the condition for audit entries: those of administered resources, and the identity's own."""
    own = f"key_id = {text_literal(scope.key_id)}" if scope.key_id else "key_id = ''"
    if not scope.key_id:
        own = f"({own} AND method = {text_literal(scope.method)} AND actor = {text_literal(scope.actor)})"
    administered = resources_condition(scope.administers)
    return own if administered == _NOTHING else f"{own} OR {administered}"


def text_literal(text: str) -> str:
    """Return a text as an expression of SQL without backslashes; its only quotes enclose plain characters."""
    return f"'{text}'" if _PLAIN.fullmatch(text) else f"unhex('{text.encode().hex()}')"


def map_literal(filters: Mapping[str, str]) -> str:
    """Return filters by table as a value of `additional_table_filters`."""
    return "{" + ", ".join(f"{_quoted(table)}: {_quoted(condition)}" for table, condition in filters.items()) + "}"


def _described_tables(database: str) -> dict[str, str]:
    """Return the filters of the system tables that describe tables: sizes of tables would count the rows of others."""
    views = ", ".join(f"'{name}'" for name in PUBLIC_VIEWS)
    databases = ", ".join(f"'{name}'" for name in _SYSTEM_DATABASES)
    own = text_literal(database)
    return {
        "system.tables": f"database IN ({databases}) OR (database = {own} AND name IN ({views}))",
        "system.columns": f"database IN ({databases}) OR (database = {own} AND table IN ({views}))",
        "system.databases": f"name IN ({databases}, {own})",
    }


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'"))
