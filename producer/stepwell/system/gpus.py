"""Metrics of NVIDIA GPUs through NVML, if the package `nvidia-ml-py` and a driver are installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

_MILLIWATTS: Final = 1_000.0


class Gpus:
    """The GPUs of the host. Metrics that a GPU does not report are left out."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
            self._nvml = pynvml
        except Exception:
            # No package, driver or permission, or another package of this name: report no GPUs.
            self._handles = []

    def metrics(self) -> dict[str, float]:
        """Return the current metrics of all GPUs by name."""
        metrics: dict[str, float] = {}
        for number, handle in enumerate(self._handles):
            for read in (_utilization, _memory, _temperature, _power):
                metrics |= {f"gpu.{number}.{name}": value for name, value in self._try_read(read, handle).items()}
        return metrics

    def _try_read(self, read: Callable[[Any, Any], dict[str, float]], handle: Any) -> dict[str, float]:
        try:
            return read(self._nvml, handle)
        except Exception:
            # NVML creates its error classes at run time; a metric that a card does not report is left out.
            return {}

    def close(self) -> None:
        """Shut NVML down."""
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
