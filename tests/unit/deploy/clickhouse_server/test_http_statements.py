"""Parsing of requests of ClickHouse's HTTP protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.clickhouse_server.request import Insert, Request, StatementError, form_fields, literal, quoted_name


def test_fields_are_told_apart() -> None:
    fields = {"query": "SELECT {x:Int8}", "param_x": "7", "database": "d", "max_threads": "2", "query_id": "q"}
    request = Request.parse(fields, b"", None)
    assert request == Request(b"SELECT {x:Int8}", "TabSeparated", "d", {"x": "7"}, {"max_threads": "2"})


def test_the_body_follows_the_query_of_the_url() -> None:
    request = Request.parse({"query": "INSERT INTO t FORMAT CSV"}, b"1,2", None)
    assert request.insert() == Insert(b"INSERT INTO t", b"", b"CSV", len(b"INSERT INTO t FORMAT CSV\n"))
    assert Request.parse({}, b"SELECT 1", "JSON").form == "JSON"


@pytest.mark.parametrize("name", ["a b", "x=1, y", "", "é", "1a"])
def test_a_setting_that_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(StatementError) as caught:
        Request.parse({name: "1"}, b"SELECT 1", None)
    assert caught.value.code == 115


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (b"insert into `a`.`b` (`c`, `d`)\nFORMAT Arrow\nARROW1 FORMAT x\n", b"ARROW1 FORMAT x\n"),
        (b"INSERT INTO t SETTINGS a = 'b' FORMAT Native\r\n\x00\n", b"\x00\n"),
        (b"INSERT INTO t FORMAT TSV", b""),
    ],
)
def test_an_insert_has_its_data(statement: bytes, expected: bytes) -> None:
    insert = Request.parse({}, statement, None).insert()
    assert insert is not None
    assert statement[insert.data_start :] == expected


@pytest.mark.parametrize("statement", [b"INSERT INTO t VALUES (1)", b"INSERT INTO t SELECT 1", b"SELECT 1 FORMAT CSV"])
def test_other_statements_have_no_data(statement: bytes) -> None:
    assert Request.parse({}, statement, None).insert() is None


@pytest.mark.parametrize(
    ("statement", "form"),
    [
        (b"SELECT 1", "TabSeparated"),
        (b"SELECT 1 FORMAT Native", "Native"),
        (b"select 1 format JSONEachRow SETTINGS max_threads = 1;", "JSONEachRow"),
        (b"(SELECT 1)", "TabSeparated"),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", None),
    ],
)
def test_the_format_of_the_result(statement: bytes, form: str | None) -> None:
    assert Request.parse({}, statement, None).result_format() == form


def test_a_form_is_read() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {x:String}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="param_x"\r\n\r\n\xc3\xa9\'\r\n x\r\n--b--\r\n'
    )
    assert form_fields("multipart/form-data; boundary=b", body) == {"query": "SELECT {x:String}", "param_x": "é'\r\n x"}


@given(st.text())
def test_quoting_leaves_no_way_out(text: str) -> None:
    for quoted, mark in ((literal(text), "'"), (quoted_name(text), "`")):
        inner = quoted[1:-1].replace("\\\\", "").replace(f"\\{mark}", "")
        assert quoted[0] == quoted[-1] == mark
        assert mark not in inner
        assert not inner.endswith("\\")
