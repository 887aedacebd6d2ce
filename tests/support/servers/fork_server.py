"""A process that has imported the SDK and the command line, and forks a process for each script.

Run it with `python fork_server.py CHANNEL`; CHANNEL is the number of an inherited socket. To import what a script of
a test needs takes more processor time than most scripts do. A forked process is a script's own in every other respect:
its environment, its folder, its files 0 to 2, its `__main__` and its end are those of `python -c`. Its parent is the
process that requested it, which therefore gets its exit code.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from pathlib import Path
from typing import Any, Final

import numpy

REQUEST_BYTES: Final = 2**17
_ADOPTION_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1
_IMPORTED: Final = (
    "stepwell.api.client",
    "stepwell.delivery.connection",
    "stepwell.delivery.journal_file",
    "stepwell.delivery.publisher",
    "stepwell.delivery.sync",
    "stepwell.session.ingest_status",
    "stepwell_deploy.cli.app",
    # Of scripts with media, and of commands that serve.
    "PIL.Image",
    "aiokafka.admin",
    "aiokafka.producer",
    "httpcore",
    "pandas",
    "pyarrow.parquet",
    "stepwell_deploy.local.service_app",
    "stepwell_gateway.app",
    "stepwell_ingestor.service",
    "stepwell_query.api.app",
)


def serve(channel: socket.socket) -> None:
    """Fork a process for each request, until the channel is closed; in such a process, run its script and return."""
    while True:
        request, files, _, _ = socket.recv_fds(channel, REQUEST_BYTES, 3)
        if not request:
            return
        between = os.fork()
        if between == 0:
            script = os.fork()
            if script == 0:
                channel.close()
                become(json.loads(request), files)
                return
            channel.send(str(script).encode())
            os._exit(0)
        for file in files:
            os.close(file)
        # With the end of the process between, the script's parent is the nearest subreaper.
        os.waitpid(between, 0)
        channel.send(b"forked")


def become(request: dict[str, Any], files: list[int]) -> None:
    """Run a script, as `python` would in a new process."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    if request["parent"]:
        _end_with(request["parent"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    os.chdir(request["folder"])
    time.tzset()
    numpy.random.seed()
    tempfile.tempdir = None
    sys.argv = request["arguments"]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if request["code"] is None:
        path = Path(sys.argv[0])
        main.__file__ = str(path)
        sys.path.insert(0, str(path.parent))
        code = compile(path.read_text("utf-8"), path, "exec")
    else:
        sys.path.insert(0, "")
        code = compile(request["code"], "<string>", "exec")
    _run(code, main.__dict__)


class _End:
    """The exit code of this process, once its script has ended; None if the interpreter finds it."""

    code: int | None = None


def _run(code: types.CodeType, variables: dict[str, Any]) -> None:
    try:
        exec(code, variables)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _End.code = end.code or 0
        raise
    except Exception:
        _End.code = 1
        raise
    _End.code = 0


def _end() -> None:
    """End without the destruction of imported modules, which copies all memory that is shared with the server."""
    if _End.code is not None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):
            # The interpreter reports it.
            return
        os._exit(_End.code & 255)


def _end_with(parent: int) -> None:
    """Become the leader of a session, and be killed when the parent ends, as a process of `start_child` is."""
    os.setsid()
    deadline = time.monotonic() + _ADOPTION_SECONDS
    # Until it is adopted, the process is the child of one that ends immediately.
    while os.getppid() != parent:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(_ADOPTION_SECONDS / 10_000)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    # The first one that is registered is the last one that runs.
    atexit.register(_end)
    # The folder of this file, in whose place each script gets its own.
    del sys.path[0]
    for _name in _IMPORTED:
        importlib.import_module(_name)
    assert threading.active_count() == 1, "a fork would copy locks that another thread holds"
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
