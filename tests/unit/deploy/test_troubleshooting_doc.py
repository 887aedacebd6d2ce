"""docs/troubleshooting.md names every kind of problem document, and every alarm."""

from __future__ import annotations

import re

from stepwell_deploy.cli.alarms import ringing
from support.paths import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
GAUGES = ("deadletter", "store", "media")


def test_each_problem_type_is_in_the_page() -> None:
    sources = [file.read_text("utf-8") for file in (ROOT / "query" / "stepwell_query").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r"\bproblem\(\s*\w+,\s*\"([a-z-]+)\"", source)}
    names |= {f"media-{state}" for state in ("pending", "gone", "unknown")}
    assert len(names) > len(GAUGES)
    assert {name for name in names if f"| `{name}` |" not in PAGE} == set()


def test_each_alarm_is_in_the_page() -> None:
    samples = {f"stepwell_ingestor_{name}_alarm": 1.0 for name in GAUGES}
    alarms = ringing(samples)
    assert len(alarms) == len(GAUGES)
    for gauge, alarm in zip(samples, alarms, strict=True):
        assert f"| `{alarm.name}` | `{gauge}` |" in PAGE
