"""NVIDIA's GPUs, through NVML where the package `nvidia-ml-py` is installed and a driver is there; else none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

_MILLIWATTS: Final = 1_000.0


class Gpus:
    """The GPUs of the host. Each figure that one does not tell is left out."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
            self._nvml = pynvml
        except Exception:
            # No package, no driver, no permission, another package of this name: there are no GPUs to tell of.
            self._handles = []

    def metrics(self) -> dict[str, float]:
        """Return what the GPUs do now, by name."""
        found: dict[str, float] = {}
        for number, handle in enumerate(self._handles):
            for ask in (_utilization, _memory, _temperature, _power):
                found |= {f"gpu.{number}.{name}": value for name, value in self._asked(ask, handle).items()}
        return found

    def _asked(self, ask: Callable[[Any, Any], dict[str, float]], handle: Any) -> dict[str, float]:
        try:
            return ask(self._nvml, handle)
        except Exception:
            # NVML's errors are classes made at run time; what a card does not tell is not there.
            return {}

    def close(self) -> None:
        """Let go of NVML."""
        if self._nvml is not None:
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()


def _utilization(nvml: Any, handle: Any) -> dict[str, float]:
    return {"utilization": float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)}


def _memory(nvml: Any, handle: Any) -> dict[str, float]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {"memory": 100.0 * memory.used / memory.total, "memory.used": float(memory.used)}


def _temperature(nvml: Any, handle: Any) -> dict[str, float]:
    return {"temperature": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))}


def _power(nvml: Any, handle: Any) -> dict[str, float]:
    return {"power": nvml.nvmlDeviceGetPowerUsage(handle) / _MILLIWATTS}
