"""docs/troubleshooting.md lists all types of problem documents, all alarms, and the runner's error events."""

from __future__ import annotations

import re

from stepwell_deploy.cli.alarms import ALARMS
from stepwell_schemas.http.problem_types import ProblemType
from support.paths import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def test_each_problem_type_is_in_the_page() -> None:
    assert {kind.value for kind in ProblemType if f"| `{kind}` |" not in PAGE} == set()


def test_each_alarm_is_in_the_page() -> None:
    assert [rule.name for rule in ALARMS if f"| `{rule.name}` | `{rule.gauge}` |" not in PAGE] == []


def test_each_log_event_of_the_runner_that_reports_an_error_is_in_the_page() -> None:
    sources = [file.read_text("utf-8") for file in (ROOT / "deploy" / "stepwell_deploy").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r"_log\.error\(\"([a-z_]+)\"", source)}
    assert "shutdown_incomplete" in names
    assert {name for name in names if f"`{name}`" not in PAGE} == set()
