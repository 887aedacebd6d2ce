"""docs/troubleshooting.md names every problem type of the service, and every alarm."""

from __future__ import annotations

from stepwell_deploy.cli.alarms import ringing
from stepwell_query.api.problem_types import ProblemType
from support.paths import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
GAUGES = ("deadletter", "store", "media")


def test_each_problem_type_is_in_the_page() -> None:
    assert {kind.value for kind in ProblemType if f"| `{kind}` |" not in PAGE} == set()


def test_each_alarm_is_in_the_page() -> None:
    samples = {f"stepwell_ingestor_{name}_alarm": 1.0 for name in GAUGES}
    alarms = ringing(samples)
    assert len(alarms) == len(GAUGES)
    for gauge, alarm in zip(samples, alarms, strict=True):
        assert f"| `{alarm.name}` | `{gauge}` |" in PAGE
