"""The table of seconds by folder, which `.ci/run` prints."""

from __future__ import annotations

from support.durations import Phase, seconds_by_folder


def test_phases_are_added_up_by_folder_and_the_longest_comes_first() -> None:
    head, *lines = seconds_by_folder(
        [
            Phase("tests/unit/query/runs/test_a.py::test_one[a/b::c]", "call", 0.25),
            Phase("tests/browser/test_b.py::test_two", "setup", 2.0),
            Phase("tests/browser/test_b.py::test_two", "call", 1.0),
            Phase("tests/unit/query/test_c.py::test_three", "call", 0.5),
            Phase("tests/unit/query/test_c.py::test_three", "teardown", 0.125),
        ]
    )
    assert head.split() == ["seconds", "setup", "call", "teardown", "tests", "folder"]
    assert [line.split() for line in lines] == [
        ["3.0", "2.0", "1.0", "0.0", "1", "tests/browser"],
        ["0.9", "0.0", "0.8", "0.1", "2", "tests/unit/query"],
    ]
