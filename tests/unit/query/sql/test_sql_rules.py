"""The access rules on syntax trees as ClickHouse prints them; integration tests use ClickHouse itself."""

from __future__ import annotations

import pytest

from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.access import api_access, guest_access
from stepwell_query.sql.statement_check import check_canonical, check_tree, parse_tree

FORBIDDEN = {"url", "file", "merge", "viewexplain"}


def tree_of(table: str) -> str:
    """Return the tree of SELECT * FROM a table expression."""
    return f"""SelectWithUnionQuery (children 2)
 ExpressionList (children 1)
  SelectQuery (children 2)
   ExpressionList (children 1)
    Asterisk
   TablesInSelectQuery (children 1)
    TablesInSelectQueryElement (children 1)
     TableExpression (children 1)
      {table}
 Identifier TSVRaw
"""


def test_a_tree_is_read_by_its_indents() -> None:
    root = parse_tree(tree_of("TableIdentifier runs (alias r)"))
    assert (root.kind, [child.kind for child in root.children]) == (
        "SelectWithUnionQuery",
        ["ExpressionList", "Identifier"],
    )
    assert [node.text for node in root.walk() if node.kind == "TableIdentifier"] == ["runs"]


@pytest.mark.parametrize(
    "table", ["TableIdentifier runs", "TableIdentifier stepwell.runs (alias r)", "Function numbers (children 1)"]
)
def test_own_tables_are_read(table: str) -> None:
    check_tree("", tree_of(table), api_access("stepwell"), FORBIDDEN)


@pytest.mark.parametrize(
    "table",
    [
        "TableIdentifier system.one",
        "TableIdentifier stepwell2.runs (alias stepwell)",
        "TableIdentifier stepwell.runs.x",
        "TableIdentifier /etc/passwd",
        "Function url (alias numbers) (children 1)",
        "Function File (children 1)",
        "Function dictGetOrNull (children 1)",
        "Set",
        "DropQuery  x (children 1)",
    ],
)
def test_all_else_is_refused(table: str) -> None:
    with pytest.raises(SqlRefusedError):
        check_tree("", tree_of(table), api_access("stepwell"), FORBIDDEN)


def test_the_right_side_of_in_is_a_table_and_the_left_a_column() -> None:
    def tree(left: str, right: str) -> str:
        arguments = f"Function notIn (children 1)\n       ExpressionList (children 2)\n        Identifier {left}\n"
        return tree_of(f"{arguments}        Identifier {right}")

    check_tree("", tree("system.column", "stepwell.runs"), api_access("stepwell"), FORBIDDEN)
    with pytest.raises(SqlRefusedError):
        check_tree("", tree("column", "system.one"), api_access("stepwell"), FORBIDDEN)


def test_functions_that_only_end_in_in_take_columns() -> None:
    tree = tree_of(
        "Function argMin (children 1)\n       ExpressionList (children 2)\n        Identifier a\n        Identifier n.b"
    )
    check_tree("", tree, api_access("stepwell"), FORBIDDEN)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 FORMAT CSV",
        "SELECT 1 FORMAT `Null`",
        "SELECT 1 FORMAT CSV SETTINGS readonly = 0",
        "SELECT 1 AS `a\\nSet`",
        "SELECT * FROM {t:Identifier}",
    ],
)
def test_what_shows_in_the_text(sql: str) -> None:
    with pytest.raises(SqlRefusedError):
        check_canonical(sql, api_access("stepwell"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'INTO OUTFILE x', 'a\\nb', '{t:Identifier}', 'it''s FORMAT CSV'",
        "SELECT format('{} {}', 1, 2)",
        "SELECT {a:String}",
        "SELECT `a b` FROM runs",
    ],
)
def test_strings_and_plain_names_pass(sql: str) -> None:
    check_canonical(sql, api_access("stepwell"))


@pytest.mark.parametrize(
    "table",
    ["runs", "stepwell.runs", "other.t", "system.tables", "system.settings", "INFORMATION_SCHEMA.columns"],
)
def test_guests_read_what_tools_ask(table: str) -> None:
    check_tree("", tree_of(f"TableIdentifier {table}"), guest_access("stepwell"), FORBIDDEN)


@pytest.mark.parametrize(
    "table",
    ["system.query_log", "system.processes", "system.users", "system.named_collections", "a.b.c", "/etc/passwd"],
)
def test_guests_do_not_read_what_others_do(table: str) -> None:
    with pytest.raises(SqlRefusedError) as caught:
        check_tree("", tree_of(f"TableIdentifier {table}"), guest_access("stepwell"), FORBIDDEN)
    assert caught.value.field == "sql"
    assert table in caught.value.rule


def test_a_name_is_looked_up_where_the_guest_looks() -> None:
    with pytest.raises(SqlRefusedError):
        check_tree("", tree_of("TableIdentifier query_log"), guest_access("system"), FORBIDDEN)


def test_guests_choose_a_format() -> None:
    assert check_canonical("SELECT 'FORMAT CSV', 1 FORMAT JSON", guest_access("d")) == (
        "SELECT 'FORMAT CSV', 1 ",
        "JSON",
    )
