"""Which metrics are alarms."""

from __future__ import annotations

from stepwell_deploy.cli.alarms import ringing


def test_alarms_ring_by_their_gauges_alone() -> None:
    assert ringing({}) == []
    quiet = {"stepwell_ingestor_deadletter_share": 0.005, "stepwell_ingestor_lag_events": 7.0}
    gauges = {"stepwell_ingestor_deadletter_alarm": 0.0, "stepwell_ingestor_store_alarm": 0.0}
    assert ringing(quiet | gauges) == []
    alarms = ringing(quiet | dict.fromkeys(gauges, 1.0))
    assert [alarm.name for alarm in alarms] == ["dead_letters", "store_unreachable"]
    assert "0.5%" in alarms[0].text
    assert "7 events wait" in alarms[1].text
