"""The check of a statement against the rules of `access`.

It uses the result of ClickHouse's own parser and never the text that was sent: the statement as formatted by
ClickHouse (`formatQuerySingleLine`: exactly one statement, without comments, keywords in capitals, names in backquotes
if needed) and its syntax tree (`EXPLAIN AST`). ClickHouse's setting `readonly` is a second line of defence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final

from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.access import AccessRules
from stepwell_query.sql.functions import (
    COUNTING_FORMATS,
    FORMAT_FUNCTIONS,
    NAMING_FUNCTIONS,
    PLAIN_FORMATS,
    REACHING_OUT,
)
from stepwell_query.sql.show import check_show
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS

_IN: Final = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?")
_READING: Final = {"SelectQuery", "SelectIntersectExceptQuery", "TablesInSelectQuery"}
_NOT_SHOWN: Final = ("SHOW MERGES", "SHOW FILESYSTEM")
_SCOPED_EXPLAIN: Final = frozenset({"EXPLAIN SYNTAX", "EXPLAIN QUERY TREE"})
"""The others print how many parts, granules and rows a statement would read, those of other projects among them."""

_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?P<name>(?:[^`\\]|\\.|``)*)`", re.DOTALL)
_OUTFILE: Final = re.compile(r"\bINTO OUTFILE\b")
_FORMAT: Final = re.compile(r"\bFORMAT (?P<name>\w+|`+)$")
_SETTINGS: Final = re.compile(r"\bSETTINGS (?P<name>\w+) = ")
_IDENTIFIER_PARAMETER: Final = re.compile(r"\{\w+:Identifier\}")
_NODE: Final = re.compile(r"(?P<indent> *)(?P<kind>\S+) ?(?P<text>.*?)(?: \(children \d+\))?$", re.DOTALL)
_ALIAS: Final = re.compile(r" \(alias .*\)$", re.DOTALL)

_READ_REMEDY: Final = "send one SELECT, WITH, SHOW TABLES, SHOW CREATE TABLE, EXISTS, DESCRIBE or EXPLAIN"
_TABLE_REMEDY: Final = f"read the public views ({', '.join(PUBLIC_VIEWS)})"


@dataclass(slots=True)
class Node:
    """A node of the syntax tree that `EXPLAIN AST` prints."""

    kind: str
    text: str
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def check_canonical(sql: str, allowed: AccessRules) -> tuple[str, str | None]:
    """Check the statement as formatted by ClickHouse; return it without its FORMAT, and the name of the format.

    Raises:
        SqlRefusedError: when it takes a name from a parameter, writes a file, changes settings, or has a format that
            is not allowed.
    """
    bare = mask_quoted(sql)
    if any("\\" in (match["name"] or "") for match in _QUOTED.finditer(sql)):
        # The tree prints names unescaped: a name with a line break could imitate other nodes.
        raise SqlRefusedError(sql, "has a name with control characters or backslashes", "use plain names")
    if _IDENTIFIER_PARAMETER.search(bare):
        raise SqlRefusedError(sql, "takes a name from a parameter", "write names into the statement")
    if _OUTFILE.search(bare):
        raise SqlRefusedError(sql, "writes a file", "take the answer, and leave INTO OUTFILE out")
    if _SETTINGS.search(bare):
        # Checked before the tree is printed: ClickHouse would apply the settings to EXPLAIN AST as well.
        raise _changes_settings(sql)
    chosen = _FORMAT.search(bare)
    if chosen is None:
        return sql, None
    if not allowed.formats:
        raise SqlRefusedError(sql, "chooses its own format", "leave FORMAT out, and choose by format= or Accept")
    # Names that are also keywords, such as Null, are in backquotes.
    name = sql[chosen.start("name") : chosen.end("name")].strip("`")
    if name not in PLAIN_FORMATS or (allowed.scoped and name in COUNTING_FORMATS):
        raise _refused_format(sql, name)
    return sql[: chosen.start()], name


def mask_quoted(sql: str) -> str:
    """Return a statement with its names and texts in quotes masked, of the same length, so that positions are equal."""
    return _QUOTED.sub(lambda match: ("'" if match["name"] is None else "`") * len(match[0]), sql)


def check_tree(sql: str, printed: str, allowed: AccessRules, forbidden: Set[str]) -> None:
    """Check the syntax tree of a statement.

    Args:
        sql: the statement, for error messages.
        printed: the output of `EXPLAIN AST`.
        allowed: the access rules.
        forbidden: the names that `functions.FORBIDDEN_NAMES_SQL` lists.

    Raises:
        SqlRefusedError: when the statement violates the access rules.
    """
    root = parse_tree(printed)
    if root.kind not in allowed.roots:
        raise SqlRefusedError(sql, "does not read", _READ_REMEDY)
    if root.kind == "Explain" and root.children and root.children[0].kind == "Set":
        # Options of EXPLAIN itself; settings of the statement are deeper in the tree.
        del root.children[0]
    if root.kind.startswith("Show"):
        check_show(sql, mask_quoted(sql))
    for node in root.walk():
        _check_node(sql, node, allowed, forbidden)
    _check_root(sql, root, allowed)


def parse_tree(printed: str) -> Node:
    """Parse the output of `EXPLAIN AST`: one node per line, children indented by one more space."""
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


def _check_node(sql: str, node: Node, allowed: AccessRules, forbidden: Set[str]) -> None:
    match node.kind:
        case "Set":
            raise _changes_settings(sql)
        case "TableIdentifier":
            _check_table(sql, node.text, allowed)
        case "ColumnsApplyTransformer":
            # The tree has no node for the applied function.
            raise SqlRefusedError(sql, "applies a function to columns by APPLY", "call the function on each column")
        case "Function":
            _check_function(sql, node, allowed, forbidden)
        case kind if kind.endswith("Query") and kind not in _READING | allowed.roots:
            raise SqlRefusedError(sql, "does more than read", _READ_REMEDY)


def _check_function(sql: str, node: Node, allowed: AccessRules, forbidden: Set[str]) -> None:
    name = node.text.split(" ")[0].lower()
    if (name in forbidden or REACHING_OUT.fullmatch(name)) and not allowed.spared.fullmatch(name):
        raise SqlRefusedError(sql, f"uses {name}(), which reaches beyond Stepwell's tables", _TABLE_REMEDY)
    if name in FORMAT_FUNCTIONS or name.startswith("groupformat"):
        _check_format(sql, node)
    if name in NAMING_FUNCTIONS:
        _check_named_function(sql, node)
    if _IN.fullmatch(name):
        # The right side of IN may be a table, which the tree shows as a plain identifier.
        arguments = node.children[0].children[1:] if node.children else []
        for argument in arguments:
            if argument.kind == "Identifier" and ("." in argument.text or argument.text in allowed.hidden):
                _check_table(sql, argument.text, allowed)


def _check_format(sql: str, function: Node) -> None:
    """Reject functions with a format that is not in PLAIN_FORMATS: other formats need schemas, which are files."""
    # An aggregate function has its parameters in a second list after its arguments.
    lists = function.children[1:] if function.text.lower().startswith("groupformat") else function.children[:1]
    named = _words(lists[0].children[:1]) if lists else []
    if len(named) != 1 or named[0] not in PLAIN_FORMATS:
        raise _refused_format(sql, named[0] if named else "of a setting")


def _check_named_function(sql: str, function: Node) -> None:
    """Reject a function that calls another function by name, unless the name is a literal of a harmless function."""
    first = function.children[0].children[:1] if function.children else []
    name = (_words(first) or [""])[0].lower()
    if not first or first[0].kind != "Literal" or REACHING_OUT.fullmatch(name) or name.startswith("groupformat"):
        raise SqlRefusedError(sql, f"calls {name}() by its name", "write the function's name as plain text, or call it")


def _words(nodes: list[Node]) -> list[str]:
    """Return the words in the nodes' texts; the quotes of literals depend on the ClickHouse driver."""
    return [word for node in nodes for word in re.findall(r"\w+", node.text)]


def _refused_format(sql: str, name: str) -> SqlRefusedError:
    return SqlRefusedError(sql, f"uses the format {name}, which is not allowed", "use JSON, CSV, TSV, Arrow or Parquet")


def _changes_settings(sql: str) -> SqlRefusedError:
    named = _SETTINGS.search(_QUOTED.sub("''", sql))
    what = f"changes the setting {named['name']}" if named else "changes settings"
    return SqlRefusedError(sql, what, "leave SETTINGS out; the limits are set")


def _check_table(sql: str, name: str, allowed: AccessRules) -> None:
    if allowed.allows_table(name):
        return
    if allowed.sole_database is None:
        raise SqlRefusedError(sql, f"reads {name}, which guests may not", _TABLE_REMEDY)
    raise SqlRefusedError(sql, f"reads {name}, which is not in the database {allowed.sole_database}", _TABLE_REMEDY)


def _check_root(sql: str, root: Node, allowed: AccessRules) -> None:
    # The last child is the format in which the tree was printed.
    named = [child.text for child in root.children if child.kind == "Identifier"][:-1]
    match root.kind:
        case "Explain" if root.text == "EXPLAIN AST":
            raise SqlRefusedError(sql, "prints a syntax tree", "send EXPLAIN SYNTAX, or EXPLAIN QUERY TREE")
        case "Explain" if allowed.scoped and root.text not in _SCOPED_EXPLAIN:
            rule = f"is {root.text}, which would count rows of projects that you may not read"
            raise SqlRefusedError(sql, rule, "send EXPLAIN SYNTAX, or EXPLAIN QUERY TREE")
        case "ShowTables" if allowed.sole_database is not None and not allowed.system:
            if not sql.startswith(("SHOW TABLES", "SHOW FULL TABLES")) or named not in ([], [allowed.sole_database]):
                raise SqlRefusedError(sql, "shows what is not in Stepwell's database", _READ_REMEDY)
        case "ShowTables" if sql.startswith(_NOT_SHOWN):
            raise SqlRefusedError(sql, "shows what the server is doing", _READ_REMEDY)
        case "ShowCreateTableQuery" | "ExistsTableQuery" if named:
            _check_table(sql, ".".join(named), allowed)
