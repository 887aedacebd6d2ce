"""Facts about this process's launch that environment variables do not give.

The rank that JAX or Ray knows, and the process that launched this node's ranks. No framework is imported: only a script
that has imported one can have a rank in it. Nothing here raises.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from stepwell.journal import owner
from stepwell.session.launch import UNKNOWN, Launch, Rank, find_launch

_PROC: Final = Path("/proc")
_ANCESTORS_AT_MOST: Final = 64
_PARENT_FIELD: Final = 1
"""Index of the parent's id among the fields of /proc/<pid>/stat after the name of the program."""


def read_launch() -> Launch:
    """Return the position of this process in its launch."""
    frameworks = [rank for rank in (_ray_rank(), _jax_rank()) if rank is not None]
    return find_launch(os.environ, tuple(frameworks), find_launcher)


def find_launcher(marker: str, pid: int | None = None) -> str:
    """Return the identity of the nearest ancestor that was started without an environment variable.

    Empty if that can't be read, or if the process itself was started without the variable and has set it since: its
    parent may start one launch after the other.
    """
    pid = os.getpid() if pid is None else pid
    known = f"{marker}=".encode()
    try:
        for depth in range(_ANCESTORS_AT_MOST):
            variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if not any(variable.startswith(known) for variable in variables):
                return _identify(pid) if depth else ""
            pid = _read_parent(pid)
    except (OSError, ValueError, IndexError):
        return ""
    return ""


def _identify(pid: int) -> str:
    started = owner.read_process_start(pid)
    return f"{socket.gethostname()}/{owner.read_boot_id()}/{pid}/{started}" if started else ""


def _read_parent(pid: int) -> int:
    status = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    return int(status.rpartition(")")[2].split()[_PARENT_FIELD])


def _jax_rank() -> Rank | None:
    """Return the rank of a JAX process after `jax.distributed.initialize()`.

    `jax.process_index()` would initialize the devices.
    """
    state = getattr(sys.modules.get("jax._src.distributed"), "global_state", None)
    if getattr(state, "client", None) is None:
        return None
    return _make_rank(getattr(state, "process_id", None), getattr(state, "num_processes", None))


def _ray_rank() -> Rank | None:
    """Return the rank of a worker of Ray Train."""
    train: Any = sys.modules.get("ray.train")
    if train is None:
        return None
    try:
        with warnings.catch_warnings():
            # Outside of a worker, Ray warns or raises.
            warnings.simplefilter("ignore")
            context = train.get_context()
            ranks = (context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    except Exception:
        # Each version of Ray has errors of its own for a process that is no worker.
        return None
    return _make_rank(*ranks)


def _make_rank(rank: Any, size: Any, local: Any = UNKNOWN) -> Rank | None:
    if not isinstance(rank, int) or not isinstance(size, int):
        return None
    return Rank(rank, size, local if isinstance(local, int) else UNKNOWN)
