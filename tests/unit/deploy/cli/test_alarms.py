"""Alarms: code, documentation and the rules for Prometheus have the same ones."""

from __future__ import annotations

import re

import yaml

from stepwell_deploy.cli.alarms import ALARMS, ringing
from stepwell_deploy.local import telemetry as stack_telemetry
from stepwell_ingestor import telemetry
from support.paths import ROOT


def test_alarms_ring_by_their_gauges_alone() -> None:
    assert ringing({}) == []
    quiet = {"stepwell_ingestor_deadletter_share": 0.005, "stepwell_ingestor_lag_events": 7.0}
    gauges = {"stepwell_ingestor_deadletter_alarm": 0.0, "stepwell_ingestor_store_alarm": 0.0}
    assert ringing(quiet | gauges) == []
    alarms = ringing(quiet | dict.fromkeys(gauges, 1.0))
    assert [alarm.name for alarm in alarms] == ["dead_letters", "store_unreachable"]
    assert "0.5%" in alarms[0].text
    assert "7 events wait" in alarms[1].text


def test_each_alarm_rings_alone_and_says_something() -> None:
    for rule in ALARMS:
        [alarm] = ringing({rule.gauge: 1.0})
        assert alarm.name == rule.name
        assert alarm.text


def test_each_gauge_of_an_alarm_is_a_metric_and_each_such_metric_an_alarm() -> None:
    names = [*telemetry.__dict__["_GAUGES"], *stack_telemetry.__dict__["_GAUGES"], "stepwell_audit_alarm"]
    assert {rule.gauge for rule in ALARMS} == {name for name in names if name.endswith("_alarm")}


def test_each_alarm_is_documented_with_symptom_cause_and_remedy() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    section = text.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", section, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in documented] == [rule.name for rule in ALARMS]
    gauges = {rule.name: rule.gauge for rule in ALARMS}
    for name, body in documented:
        assert f"`{gauges[name]}`" in body
        assert re.findall(r"^- \*\*(\w+)\*\*", body, re.MULTILINE) == ["Symptom", "Cause", "Remedy"]


def test_each_alarm_has_a_rule_for_prometheus() -> None:
    [group] = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    rules = {rule["labels"]["alarm"]: rule["expr"] for rule in group["rules"]}
    assert rules == {rule.name: f"{rule.gauge} > 0" for rule in ALARMS}
    assert all(rule["annotations"]["summary"] for rule in group["rules"])
