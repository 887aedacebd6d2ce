"""System metrics: rates of two readings, and the counters of this machine."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import psutil
import pytest

from stepwell.system.gpus import Gpus
from stepwell.system.usage import Reading, process_only, rates, read

_ME = (1, 0.0)
_CHILD = (2, 5.0)


def test_rates_are_over_the_time_between() -> None:
    before = Reading(10.0, 100.0, 300.0, {"network.sent": 1_000, "disk.read": 5}, {_ME: 50.0})
    now = Reading(14.0, 103.0, 301.0, {"network.sent": 9_000, "disk.read": 5}, {_ME: 54.0, _CHILD: 2.0})
    assert rates(before, now) == {"cpu": 75.0, "network.sent": 2_000.0, "disk.read": 0.0, "process.cpu": 150.0}


def test_ended_or_reset_counters_give_no_rates() -> None:
    before = Reading(10.0, 100.0, 300.0, {"network.sent": 1_000}, {_ME: 50.0, _CHILD: 900.0})
    now = Reading(11.0, 100.0, 300.0, {"network.sent": 10, "disk.read": 7}, {_ME: 50.5, (2, 8.0): 0.1})
    assert rates(before, now) == {"process.cpu": pytest.approx(60.0)}
    assert rates(before, before) == {}
    assert rates(Reading(10.0), Reading(11.0)) == {}


def test_this_machine_tells_every_documented_figure(tmp_path: Path) -> None:
    process = psutil.Process()
    before, _ = read(1.0, process, tmp_path)
    now, levels = read(2.0, process, tmp_path)
    found = {**rates(before, now), **levels}
    assert {"memory", "memory.available", "disk", "process.memory", "process.threads", "process.cpu"} <= set(found)
    assert found["process.memory"] > 1e6
    assert found["process.threads"] >= 1
    assert 0 < found["memory"] <= 100
    assert 0 < found["disk"] <= 100


def test_metrics_of_the_process_are_those_of_no_machine() -> None:
    metrics = {"cpu": 1.0, "memory": 2.0, "process.cpu": 3.0, "disk.read": 4.0, "process.threads": 5.0}
    assert process_only(metrics) == {"process.cpu": 3.0, "process.threads": 5.0}


def test_a_process_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    gone = psutil.Popen(["true"])
    gone.wait()
    reading, levels = read(1.0, psutil.Process(), tmp_path)
    assert reading.processor
    reading, levels = read(1.0, gone, tmp_path)
    assert (reading.processor, "memory" in levels) == ({}, True)


def _fake_nvml() -> types.ModuleType:
    """Fake NVML with two cards, the second of which reports only its temperature."""
    nvml = types.ModuleType("pynvml")

    def first_only(value: object) -> object:
        def ask(handle: int, *_: object) -> object:
            if handle:
                raise RuntimeError("Not Supported")
            return value

        return ask

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUtilizationRates": first_only(types.SimpleNamespace(gpu=93)),
        "nvmlDeviceGetMemoryInfo": first_only(types.SimpleNamespace(used=20 * 2**30, total=80 * 2**30)),
        "nvmlDeviceGetPowerUsage": first_only(412_500),
        "nvmlDeviceGetTemperature": lambda handle, _: 61 + handle,
        "NVML_TEMPERATURE_GPU": 0,
    }
    for name, answer in answers.items():
        setattr(nvml, name, answer)
    return nvml


def test_gpus_tell_what_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _fake_nvml())
    gpus = Gpus()
    assert gpus.metrics() == {
        "gpu.0.utilization": 93.0,
        "gpu.0.memory": 25.0,
        "gpu.0.memory.used": 20.0 * 2**30,
        "gpu.0.temperature": 61.0,
        "gpu.0.power": 412.5,
        "gpu.1.temperature": 62.0,
    }
    assert gpus.metrics(lambda gpu: gpu == "gpu/1") == {"gpu.1.temperature": 62.0}
    gpus.close()


def test_without_nvml_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().metrics() == {}
