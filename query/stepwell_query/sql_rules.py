"""Which statements `/api/v1/sql` runs: one statement that reads Stepwell's database, and nothing beside it. Pure.

The decision is made on what ClickHouse's own parser understood, never on the text that was sent: the statement as
the engine writes it down again (`formatQuerySingleLine`, one statement or an error, comments gone, keywords in
capitals, names in backquotes where they need them) and its syntax tree (`EXPLAIN AST`). The engine's `readonly`
goes with it as a second lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final

from stepwell_query.errors import SqlRefusedError

TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "null", "format"}
)
"""Table functions that read nothing: all others that the engine has are refused (in lower case)."""

# Plain functions that reach files, other tables, other machines or the server's own affairs, or that only wait.
_REACHING_OUT: Final = re.compile(
    r"file|filesystem\w*|joinget\w*|dict\w+|hascolumnintable|getmacro|get\w*setting\w*|getserverport|getclienthttpheader"
    r"|hostname|fullhostname|fqdn|tcpport|serveruuid|displayname|showcertificate|sleep\w*|catboostevaluate|ai[a-z]+"
    r"|addressto\w+|demangle|zookeeper\w*|transaction\w+|currentrequesturl|buildid|trap|eval\w*"
)
_IN: Final = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?")
_ROOTS: Final = frozenset(
    {"SelectWithUnionQuery", "Explain", "DescribeQuery", "ShowTables", "ShowCreateTableQuery", "ExistsTableQuery"}
)
_READING: Final = _ROOTS | {"SelectQuery", "SelectIntersectExceptQuery", "TablesInSelectQuery"}
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?P<name>(?:[^`\\]|\\.|``)*)`", re.DOTALL)
_OUTFILE: Final = re.compile(r"\bINTO OUTFILE\b")
_FORMAT: Final = re.compile(r"\bFORMAT (?:\w+|``)(?: SETTINGS .*)?$")
_IDENTIFIER_PARAMETER: Final = re.compile(r"\{\w+:Identifier\}")
_NODE: Final = re.compile(r"(?P<indent> *)(?P<kind>\S+) ?(?P<text>.*?)(?: \(children \d+\))?$", re.DOTALL)
_ALIAS: Final = re.compile(r" \(alias .*\)$", re.DOTALL)
_PLAIN_NAME: Final = re.compile(r"\w+")

_READ_REMEDY: Final = "send one SELECT, WITH, SHOW TABLES, SHOW CREATE TABLE, EXISTS, DESCRIBE or EXPLAIN"
_TABLE_REMEDY: Final = "read the public views (runs, metrics, numbers, strings, bools, others, media, step_conflicts)"


@dataclass(slots=True)
class Node:
    """A node of the engine's syntax tree, as `EXPLAIN AST` prints it."""

    kind: str
    text: str
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def check_canonical(sql: str) -> None:
    """Refuse what shows in the text that the engine wrote. Raises: SqlRefusedError."""
    bare = _QUOTED.sub(lambda match: "''" if match["name"] is None else "``", sql)
    if any("\\" in (match["name"] or "") for match in _QUOTED.finditer(sql)):
        # The tree prints names as they are: one with a line break could pass for other nodes.
        raise SqlRefusedError(sql, "has a name with control characters or backslashes", "use plain names")
    if _IDENTIFIER_PARAMETER.search(bare):
        raise SqlRefusedError(sql, "takes a name from a parameter", "write names into the statement")
    if _OUTFILE.search(bare):
        raise SqlRefusedError(sql, "writes a file", "take the answer, and leave INTO OUTFILE out")
    if _FORMAT.search(bare):
        raise SqlRefusedError(sql, "chooses its own format", "leave FORMAT out, and choose by format= or Accept")


def check_tree(sql: str, printed: str, database: str, table_functions: Set[str]) -> None:
    """Refuse what shows in the syntax tree.

    Args:
        sql: the statement, for the error.
        printed: the tree as `EXPLAIN AST` prints it.
        database: the only database that may be read.
        table_functions: the names of all table functions that the engine has, in lower case.

    Raises:
        SqlRefusedError: when the statement does more than read tables of `database`.
    """
    root = parse_tree(printed)
    if root.kind not in _ROOTS:
        raise SqlRefusedError(sql, "does not read", _READ_REMEDY)
    if root.kind == "Explain" and root.children and root.children[0].kind == "Set":
        # The options of EXPLAIN itself; settings of the statement stand further down.
        del root.children[0]
    for node in root.walk():
        _check_node(sql, node, database, table_functions - TABLE_FUNCTIONS)
    _check_root(sql, root, database)


def parse_tree(printed: str) -> Node:
    """Return the tree that `EXPLAIN AST` printed, one node a line, children indented by a blank more."""
    root = Node("", "")
    path: list[tuple[int, Node]] = [(-1, root)]
    for line in printed.splitlines():
        match = _NODE.fullmatch(line)
        if match is None:
            continue
        depth = len(match["indent"])
        while path[-1][0] >= depth:
            path.pop()
        node = Node(match["kind"], _ALIAS.sub("", match["text"]).strip())
        path[-1][1].children.append(node)
        path.append((depth, node))
    return root.children[0] if root.children else root


def _check_node(sql: str, node: Node, database: str, forbidden: Set[str]) -> None:
    match node.kind:
        case "Set":
            raise SqlRefusedError(sql, "changes settings", "leave SETTINGS out; the service sets the limits")
        case "TableIdentifier":
            _check_table(sql, node.text, database)
        case "Function":
            _check_function(sql, node, database, forbidden)
        case kind if kind.endswith("Query") and kind not in _READING:
            raise SqlRefusedError(sql, "does more than read", _READ_REMEDY)


def _check_function(sql: str, node: Node, database: str, forbidden: Set[str]) -> None:
    name = node.text.split(" ")[0].lower()
    if name in forbidden or _REACHING_OUT.fullmatch(name):
        raise SqlRefusedError(sql, f"uses {name}(), which reaches beyond Stepwell's tables", _TABLE_REMEDY)
    if _IN.fullmatch(name):
        # The right side of IN may name a table, which the tree shows as a plain identifier.
        arguments = node.children[0].children[1:] if node.children else []
        for argument in arguments:
            if argument.kind == "Identifier" and "." in argument.text:
                _check_table(sql, argument.text, database)


def _check_table(sql: str, name: str, database: str) -> None:
    parts = name.split(".")
    own = len(parts) == 1 or (len(parts) == 2 and parts[0] == database)
    if not own or _PLAIN_NAME.fullmatch(parts[-1]) is None:
        raise SqlRefusedError(sql, f"reads {name}, which is not in the database {database}", _TABLE_REMEDY)


def _check_root(sql: str, root: Node, database: str) -> None:
    # The last child names the answer's format, which the service has chosen.
    named = [child.text for child in root.children if child.kind == "Identifier"][:-1]
    match root.kind:
        case "Explain" if root.text == "EXPLAIN AST":
            raise SqlRefusedError(sql, "prints a syntax tree", "send EXPLAIN SYNTAX, or EXPLAIN QUERY TREE")
        case "ShowTables":
            if not sql.startswith(("SHOW TABLES", "SHOW FULL TABLES")) or named not in ([], [database]):
                raise SqlRefusedError(sql, "shows what is not in Stepwell's database", _READ_REMEDY)
        case "ShowCreateTableQuery" | "ExistsTableQuery":
            _check_table(sql, ".".join(named), database)
