"""Reports of a flush about records that its sessions miss."""

from __future__ import annotations

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from stepwell_ingestor.flush.content_report import report_forgotten
from stepwell_ingestor.planner.accumulator import ForgottenGap
from stepwell_schemas.rules.identifiers import RunPath

_COUNTER = "stepwell_ingestor_forgotten_gaps_total"


def test_forgotten_gaps_are_counted_and_the_first_ones_are_named() -> None:
    gaps = [ForgottenGap(RunPath("e", "p", "r"), "s", 2 * number, 2 * number + 1) for number in range(11)]
    before = REGISTRY.get_sample_value(_COUNTER) or 0.0
    with capture_logs() as logged:
        report_forgotten(())
        report_forgotten(gaps)
    assert REGISTRY.get_sample_value(_COUNTER) == before + 11
    assert [line["first"] for line in logged] == [2 * number for number in range(10)]
    assert {key: logged[0][key] for key in ("event", "path", "session", "end", "of")} == {
        "event": "gap_forgotten", "path": "e/p/r", "session": "s", "end": 1, "of": 11,
    }  # fmt: skip
