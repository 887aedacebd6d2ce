"""What guests may run."""

from __future__ import annotations

import pytest

from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.readonly import READONLY_CODE, check_read_only


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select key, value from numbers where key = 'file(''x'')' -- drop; everything\n",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "/* who; */ WITH 1 AS x SELECT x",
        "SELECT 'a;b', \"c\", `d e`, '\\'; DROP TABLE x' FROM t",
        "SELECT $$it's; here$$, $a$ file( $a$",
        "SHOW TABLES",
        "DESCRIBE numbers",
        "EXPLAIN indexes = 1 SELECT 1",
        "SELECT profile(1), my_url (2), replaceAll(key, 'INTO OUTFILE', '’')",
        "SELECT * FROM numbers WHERE key LIKE '%url(%'",
    ],
)
def test_reading_is_allowed(sql: str) -> None:
    check_read_only(sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "not nothing"),
        ("-- only a comment", "not nothing"),
        ("INSERT INTO t VALUES (1)", "not INSERT"),
        ("KILL QUERY WHERE 1", "not KILL"),
        ("SET readonly = 0", "not SET"),
        ("SELECT 1; DROP TABLE t", "one statement"),
        ("SELECT '\\\\'; DROP TABLE t --'", "one statement"),
        ("SELECT $$'$$; DROP TABLE t -- '", "one statement"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "files"),
        ("SELECT 1 INTO/**/OUTFILE '/tmp/x'", "files"),
        ("SELECT file('/etc/passwd')", "file\\(\\)"),
        ("SELECT FILE /* */ ('/etc/passwd')", "FILE\\(\\)"),
        ("SELECT `file`('/etc/passwd')", "file\\(\\)"),
        ("SELECT \"file\" ('/etc/passwd')", "file\\(\\)"),
        ("SELECT \"fi\\x6ce\"('/etc/passwd')", "escapes"),
        ("DESCRIBE url('http://127.0.0.1/', 'CSV')", "url\\(\\)"),
        ("SELECT * FROM s3Cluster('c', 'x')", "s3Cluster\\(\\)"),
        ("SELECT * FROM Python(x)", "Python\\(\\)"),
        ("SELECT * FROM remoteSecure('h', 'd.t')", "remoteSecure\\(\\)"),
        ("SELECT /* a /* b */ 1 */ 2", "comments within"),
        ("SELECT ‘, file('x'), ’", "file\\(\\)|typographic"),
        ("SELECT 1 /* never ends", "does not end"),
        ("SELECT 'never ends", "does not end"),
    ],
)
def test_everything_else_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(StoreRejectedError, match=reason) as caught:
        check_read_only(sql)
    assert caught.value.code == READONLY_CODE
