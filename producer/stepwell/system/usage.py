"""Counters of the operating system, read with psutil, and the metrics computed from two readings."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

import psutil

Metrics = dict[str, float]
"""Values by name, without the stream's prefix."""

PROBLEMS = (psutil.Error, OSError, AttributeError, ValueError, RuntimeError, NotImplementedError)
"""Errors of psutil for counters that a system lacks, and processes that end meanwhile."""


_PROCESS = "process."


class Reading(NamedTuple):
    """Monotonic counters as of `at` (seconds); names or processes that could not be read are missing.

    `busy`, `idle`: seconds of all cores. `bytes_moved`: by metric name. `processor`: seconds by process (id, start).
    """

    at: float
    busy: float = 0.0
    idle: float = 0.0
    bytes_moved: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    processor: dict[tuple[int, float], float] = {}  # noqa: RUF012 - likewise


def rates(before: Reading, now: Reading) -> Metrics:
    """Return the average rates between two readings."""
    seconds = now.at - before.at
    if seconds <= 0:
        return {}
    metrics: Metrics = {}
    cores = (now.busy - before.busy) + (now.idle - before.idle)
    if cores > 0:
        metrics["cpu"] = min(max(100.0 * (now.busy - before.busy) / cores, 0.0), 100.0)
    for name, count in now.bytes_moved.items():
        # A counter that was reset (a removed interface) gives no rate this time.
        if name in before.bytes_moved and count >= before.bytes_moved[name]:
            metrics[name] = (count - before.bytes_moved[name]) / seconds
    if now.processor:
        used = (spent - before.processor.get(process, 0.0) for process, spent in now.processor.items())
        metrics["process.cpu"] = 100.0 * sum(max(spent, 0.0) for spent in used) / seconds
    return metrics


def process_only(metrics: Metrics) -> Metrics:
    """Return the metrics of the process, without those of the machine."""
    return {name: value for name, value in metrics.items() if name.startswith(_PROCESS)}


def read(at: float, process: psutil.Process, folder: Path) -> tuple[Reading, Metrics]:
    """Return the counters, and the metrics that need no second reading. Errors of psutil are not raised."""
    busy, idle = 0.0, 0.0
    moved: dict[str, int] = {}
    processor: dict[tuple[int, float], float] = {}
    levels: Metrics = {}
    with contextlib.suppress(*PROBLEMS):
        busy, idle = _cores()
    for counters in (_disks, _networks):
        with contextlib.suppress(*PROBLEMS):
            moved |= counters()
    with contextlib.suppress(*PROBLEMS):
        levels |= _memory()
    with contextlib.suppress(*PROBLEMS):
        levels |= _disk(folder)
    with contextlib.suppress(*PROBLEMS):
        processor, own = _processes(process)
        levels |= own
    return Reading(at, busy, idle, moved, processor), levels


def _cores() -> tuple[float, float]:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guest time is included in user time already.
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0), idle


def _disks() -> dict[str, int]:
    counted = psutil.disk_io_counters()
    return {} if counted is None else {"disk.read": counted.read_bytes, "disk.written": counted.write_bytes}


def _networks() -> dict[str, int]:
    counted = psutil.net_io_counters()
    return {"network.sent": counted.bytes_sent, "network.received": counted.bytes_recv}


def _memory() -> Metrics:
    memory = psutil.virtual_memory()
    return {"memory": memory.percent, "memory.available": float(memory.available)}


def _disk(folder: Path) -> Metrics:
    return {"disk": psutil.disk_usage(str(folder)).percent}


def _processes(process: psutil.Process) -> tuple[dict[tuple[int, float], float], Metrics]:
    processor: dict[tuple[int, float], float] = {}
    memory = threads = 0
    for member in (process, *process.children(recursive=True)):
        try:
            with member.oneshot():
                times = member.cpu_times()
                memory += member.memory_info().rss
                threads += member.num_threads()
                processor[member.pid, member.create_time()] = times.user + times.system
        except PROBLEMS:
            continue  # it has ended meanwhile, or belongs to another user
    return processor, {"process.memory": float(memory), "process.threads": float(threads)}
