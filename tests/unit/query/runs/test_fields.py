"""The registry of run fields, and what it feeds."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from stepwell_query.runs.fields import (
    FIELDS,
    GROUPABLE,
    RUN_FIELDS,
    SYNONYMS,
    FieldType,
    RunField,
    find_field,
    search_fields,
)
from stepwell_query.runs.filters.ast import All, Compare, FilterError, Ref, Source
from stepwell_query.runs.filters.mongo import parse_dict
from stepwell_query.runs.filters.parser import parse_filter, parse_ref
from stepwell_query.runs.ordering import Order
from stepwell_query.series.groups.read import check_group_by

_LITERALS = {FieldType.TEXT: '"x"', FieldType.NUMBER: "3", FieldType.BOOL: "true", FieldType.TIME: '"2026-01-31"'}


def test_names_and_synonyms_are_unique() -> None:
    names = [field.name for field in RUN_FIELDS] + [synonym for field in RUN_FIELDS for synonym in field.synonyms]
    assert len(set(names)) == len(names)
    assert len({field.json_name for field in RUN_FIELDS}) == len(RUN_FIELDS)
    assert len({field.label for field in RUN_FIELDS}) == len(RUN_FIELDS)


@pytest.mark.parametrize("field", RUN_FIELDS, ids=lambda field: field.name)
def test_a_field_is_filtered_ordered_and_grouped_by_its_entry_alone(field: RunField) -> None:
    ref = Ref(Source.FIELD, field.name)
    for name in (field.name, *field.synonyms):
        assert parse_ref(name, "order") == ref
    if field.type is FieldType.LIST:
        assert All((parse_filter(f'{field.name} has "x"'),)) == parse_dict(f'{{"{field.name}": "x"}}')
    else:
        literal = _LITERALS[field.type]
        node = parse_filter(f"{field.name} = {literal}")
        assert isinstance(node, Compare)
        assert node.ref == ref
        assert parse_filter(f"{field.name} != {literal}") is not None
        assert Order.parse(f"-{field.name}").by == ref
    if field.groupable:
        check_group_by(field.name)


def test_a_bool_is_compared_with_true_or_false() -> None:
    assert parse_dict('{"git_dirty": false}') is not None
    for text in ("git_dirty = 1", 'git_dirty = "true"', "git_dirty > true", "git_dirty = null"):
        with pytest.raises(FilterError):
            parse_filter(text)


def test_fields_read_columns_that_exist() -> None:
    text = resources.files("stepwell_schemas").joinpath("migrations", "current_tables.sql").read_text("utf-8")
    table = text[text.index("CREATE TABLE IF NOT EXISTS {db}.run_documents\n") :].split("ENGINE", 1)[0]
    columns = set(re.findall(r"^ +`(\w+)` ", table, re.MULTILINE))
    assert len(columns) > 20
    for field in RUN_FIELDS:
        assert set(field.document_columns) <= columns, field.name


def test_what_the_page_gets_of_a_field() -> None:
    assert FIELDS["git_commit"].describe() == {
        "name": "git_commit", "member": "git_commit", "label": "Git commit", "type": "text",
        "synonyms": ["commit"], "sortable": True,
        "filterable": True, "groupable": True,
    }  # fmt: skip
    assert FIELDS["last_activity"].describe()["member"] == "heartbeat_at"
    assert FIELDS["tags"].describe()["sortable"] is False
    assert {"tags", "group", "job_type", "state", "run_id", "program", "git_commit", "git_dirty"} <= set(GROUPABLE)
    assert not {"duration", "last_step", "created_at"} & set(GROUPABLE)


def test_fields_are_found_by_words_and_synonyms() -> None:
    assert [field["name"] for field in search_fields(["git"])] == ["git_commit", "git_dirty"]
    assert len(search_fields([])) == len(RUN_FIELDS)
    assert find_field("commit") is FIELDS["git_commit"]
    assert find_field("runtime") is FIELDS["duration"]
    assert find_field("nothing") is None
    assert set(SYNONYMS.values()) <= FIELDS.keys()


def test_times_and_missing_values_in_json() -> None:
    assert FIELDS["created_at"].to_json(1_500) == "1970-01-01T00:00:01.500Z"
    assert FIELDS["finished_at"].to_json(None) is None
    assert FIELDS["last_step"].to_json(None) == -1
