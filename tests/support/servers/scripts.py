"""Scripts of tests as real processes, forked from one that has imported what they need."""

from __future__ import annotations

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from stepwell_deploy.local.processes import start_child
from support.servers.fork_server import REQUEST_BYTES

_FORK_SERVER: Final = Path(__file__).with_name("fork_server.py")
_COMMAND_LINE: Final = "from stepwell_deploy.cli.app import main; main()"
_TEXT: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "surrogateescape"}
_PIPE_ENDS: Final = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_PR_SET_CHILD_SUBREAPER: Final = 36


def start_script(
    script: str | Path, arguments: Sequence[str], environment: Mapping[str, str], *, imported: bool = True
) -> subprocess.Popen[str]:
    """Start a Python script, given as text or as a file; its standard files are pipes.

    Unless `imported`, it imports everything itself, which then happens during the run, and in its threads.
    """
    if isinstance(script, Path):
        return _start(None, [str(script), *arguments], environment, imported=imported)
    return _start(script, ["-c", *arguments], environment, imported=imported)


def start_command(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start the command line `stepwell`; its standard files are pipes, or files as for `subprocess.Popen`."""
    return _start(_COMMAND_LINE, ["-c", *arguments], environment, imported=True, stdout=stdout, stderr=stderr)


def start_part(
    command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[Any]:
    """Start a command as `start_child` does; `stepwell …` is forked, another one is not.

    Args:
        command: the path of the program, and its arguments.
        output: what the process prints is appended to this file.
        environment: by default, that of this process.
    """
    if Path(command[0]).name != "stepwell" or sys.platform != "linux":
        return start_child(command, output, environment)
    environment = os.environ if environment is None else environment
    request = _request(_COMMAND_LINE, ["-c", *command[1:]], environment, os.getpid())
    with output.open("ab") as log:
        return _Forked(request, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def _start(
    code: str | None,
    arguments: list[str],
    environment: Mapping[str, str],
    *,
    imported: bool,
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start a script: its text or None, and its `sys.argv`."""
    files: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": stdout, "stderr": stderr, **_TEXT}
    # Elsewhere than on Linux, a process can't adopt the child of another one.
    if imported and sys.platform == "linux":
        return _Forked(_request(code, arguments, environment), **files)
    command = [sys.executable, *arguments[:1], *([] if code is None else [code]), *arguments[1:]]
    return subprocess.Popen(command, env=environment, **files)


def _request(code: str | None, arguments: list[str], environment: Mapping[str, str], parent: int = 0) -> str:
    """Return a request to the fork server; a process with a `parent` is killed when that ends."""
    fields = {"code": code, "arguments": arguments, "folder": str(Path.cwd()), "environment": dict(environment)}
    return json.dumps({**fields, "parent": parent})


class _ForkServer:
    """The process that forks scripts, started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None

    def fork(self, request: bytes, files: Sequence[int]) -> int:
        """Return the id of a new process, which is a child of this one."""
        with self._lock:
            channel = self._channel = self._channel or self._start()
            with _adopting():
                socket.send_fds(channel, [request], files)
                pid = int(channel.recv(REQUEST_BYTES))
                channel.recv(REQUEST_BYTES)
        return pid

    def _start(self) -> socket.socket:
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, str(_FORK_SERVER), str(theirs.fileno())],
                # Threads of a library would not survive the forks.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

        def stop() -> None:
            channel.close()
            process.wait()

        atexit.register(stop)
        return channel


_SERVER = _ForkServer()


@contextmanager
def _adopting() -> Iterator[None]:
    """Make this process the parent of descendants whose parent ends during the block."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


class _Forked(subprocess.Popen[str]):
    """A process that the fork server forks; `args` is the request."""

    def _execute_child(self, args: str, *others: Any) -> None:
        names = inspect.signature(super()._execute_child).parameters  # type: ignore[misc]
        given = dict(zip(list(names)[1:], others, strict=True))
        try:
            self.pid = _SERVER.fork(args.encode(), [given[name] for name in ("p2cread", "c2pwrite", "errwrite")])
        finally:
            # Of pipes alone; a file stays the caller's.
            self._close_pipe_fds(*(given[name] for name in _PIPE_ENDS))  # type: ignore[attr-defined]
        self._child_created = True
