"""SHOW statements: what the syntax tree hides is refused, and SHOW TABLES lists the public views alone."""

from __future__ import annotations

import pytest

from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.access import api_access, guest_access
from stepwell_query.sql.show import show_public_views
from stepwell_query.sql.statement_check import check_tree
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS

TREE = "{kind} (children 1)\n Identifier TSVRaw\n"
NAMES = ", ".join(f"'{name}'" for name in PUBLIC_VIEWS)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("ShowTables", "SHOW TABLES WHERE (SELECT count() FROM system.users) > 0"),
        ("ShowTables", "SHOW TABLES FROM stepwell WHERE file('/etc/passwd') = ''"),
        ("ShowTables", "SHOW TABLES LIMIT (SELECT count() FROM system.users)"),
        ("ShowTables", "SHOW TABLES LIKE 'a' LIMIT 3 + 1"),
        ("ShowColumns", "SHOW COLUMNS FROM runs WHERE (SELECT count() FROM system.users) > 0"),
        ("ShowIndexes", "SHOW INDEXES FROM runs WHERE 1"),
    ],
)
def test_a_condition_that_the_tree_does_not_have_is_refused(kind: str, sql: str) -> None:
    for allowed in (api_access("stepwell"), guest_access("stepwell")):
        with pytest.raises(SqlRefusedError):
            check_tree(sql, TREE.format(kind=kind), allowed, set())


@pytest.mark.parametrize(
    "sql", ["SHOW TABLES", "SHOW FULL TABLES LIKE '% WHERE %' LIMIT 3", "SHOW TABLES NOT ILIKE 'a'"]
)
def test_a_pattern_and_a_number_are_shown(sql: str) -> None:
    check_tree(sql, TREE.format(kind="ShowTables"), api_access("stepwell"), set())


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SHOW TABLES", f"SHOW TABLES WHERE name IN ({NAMES})"),
        ("SHOW FULL TABLES FROM stepwell", f"SHOW FULL TABLES FROM stepwell WHERE name IN ({NAMES})"),
        ("SHOW TABLES LIKE 'r%' LIMIT 2", f"SHOW TABLES WHERE name IN ({NAMES}) AND name LIKE 'r%' LIMIT 2"),
        ("SHOW TABLES NOT ILIKE 'a'", f"SHOW TABLES WHERE name IN ({NAMES}) AND name NOT ILIKE 'a'"),
        ("SHOW CREATE TABLE points_number", "SHOW CREATE TABLE points_number"),
        ("SELECT 'SHOW TABLES'", "SELECT 'SHOW TABLES'"),
    ],
)
def test_tables_are_the_public_views(sql: str, shown: str) -> None:
    assert show_public_views(sql) == shown
