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

    def metrics(self, owns: Callable[[str], bool] = lambda _: True) -> dict[str, float]:
        """Return the current metrics of GPUs by name.

        Args:
            owns: whether a GPU is sampled here, by its identity: a scheduler may show each process its own GPUs only,
                so that several processes of a node have a GPU number 0.
        """
        metrics: dict[str, float] = {}
        for number, handle in enumerate(self._handles):
            if not owns(f"gpu/{self._identify(number, handle)}"):
                continue
            for read in (_utilization, _memory, _temperature, _power):
                metrics |= {f"gpu.{number}.{name}": value for name, value in self._try_read(read, handle).items()}
        return metrics

    def _try_read(self, read: Callable[[Any, Any], dict[str, float]], handle: Any) -> dict[str, float]:
        try:
            return read(self._nvml, handle)
        except Exception:
            # NVML creates its error classes at run time; a metric that a card does not report is left out.
            return {}

    def _identify(self, number: int, handle: Any) -> str:
        try:
            return str(self._nvml.nvmlDeviceGetUUID(handle))
        except Exception:
            # As above: NVML's own errors. GPUs without a UUID are identified by their numbers.
            return str(number)

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
