"""End of a process: the state and exit code with which its open runs end.

Python does not report at exit why a process ends, so that it is concluded from three sources:

- `sys.last_value`, the exception that Python printed last. Nothing is hooked for it: `sys.excepthook` stays as it is,
  and what it prints is console output. Shells and test runners set it for exceptions that end nothing, too.
- `sys.exit`, and `exit` and `quit` of `site`, which are wrapped. A `SystemExit` may be caught, and then ends nothing.
- the exception that a worker of multiprocessing ends with, which is being handled while its exit handlers run.

An exception ends the process if it passed the frame at the bottom of the main thread's stack, which then did not
return. An exception of another thread does not end the process. A `raise SystemExit(3)` outside of `with init()` is not
seen, since Python keeps no trace of it.
"""

from __future__ import annotations

import builtins
import functools
import opcode
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn

from stepwell.errors import StopRequestedError
from stepwell_schemas.rules.run_states import FAILED, FINISHED, KILLED

_EXIT_CODES: Final = 256
"""Number of exit codes of a process: the system keeps the lowest eight bits."""

_MAX: Final = 2**31 - 1
"""The largest exit code of an event."""

_SIGNALS_FROM: Final = 128
"""Exit codes of signals, as shells report them, begin here."""


class End(NamedTuple):
    """The end of a run: its state and exit code."""

    state: str = FINISHED
    exit_code: int = 0


def end_by_code(code: object) -> End:
    """Return the end by `sys.exit(code)`: a number, None for success, or anything else, which Python prints."""
    if code is None:
        return End()
    value = int(code) % _EXIT_CODES if isinstance(code, int) else 1
    return End(FAILED, value) if value else End()


def end_by_signal(number: int) -> End:
    """Return the end by a signal."""
    return End(KILLED, _SIGNALS_FROM + number)


def end_by_exception(error: BaseException | None) -> End:
    """Return the end by an exception that leaves a `with` block or the program; None for none."""
    if error is None or isinstance(error, GeneratorExit):
        # A generator that holds a run is closed: its end is an ordinary one.
        return End()
    if isinstance(error, SystemExit):
        return end_by_code(error.code)
    return end_by_signal(signal.SIGINT) if isinstance(error, KeyboardInterrupt | StopRequestedError) else End(FAILED, 1)


def end_by_request(exit_code: int | None) -> End:
    """Return the end by `finish(exit_code=…)`. A code that no process can have keeps its lowest eight bits."""
    code = int(exit_code or 0)
    if abs(code) > _MAX:
        return end_by_code(code)
    return End(FAILED, code) if code else End()


class _Exit(NamedTuple):
    """A call of `sys.exit` in the main thread: its code, and the frame at the bottom of the stack."""

    code: object
    bottom: FrameType


class _Noted:
    """The last call of `sys.exit`, and the functions that note one."""

    last: _Exit | None = None
    wrappers: Final[list[Callable[..., Any]]] = []


def process_end() -> tuple[End, BaseException | None]:
    """Return the end of this process, as known while its exit handlers run, and the exception that ends a worker."""
    if is_worker():
        error = sys.exc_info()[1]
        return end_by_exception(error), error
    error, last = getattr(sys, "last_value", None), _Noted.last
    # In a shell, exceptions end statements.
    if error is not None and not hasattr(sys, "ps1") and error.__traceback__ is not None:
        bottom = error.__traceback__.tb_frame
        if bottom.f_back is None and not has_returned(bottom):
            return end_by_exception(error), None
    if last is not None and not has_returned(last.bottom):
        return end_by_code(last.code), None
    return End(), None


def has_returned(frame: FrameType) -> bool:
    """Return whether a frame that is no longer executed has returned; otherwise, an exception has left it."""
    code = frame.f_code.co_code
    return 0 <= frame.f_lasti < len(code) and opcode.opname[code[frame.f_lasti]].startswith("RETURN")


def is_worker() -> bool:
    """Return whether this process is a worker of multiprocessing."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def watch_exits() -> None:
    """Wrap `sys.exit`, `exit` and `quit`, unless that is done; the wrapped functions are called."""
    if sys.exit not in _Noted.wrappers:
        sys.exit = _watched(sys.exit)
    quitter = type(getattr(builtins, "exit", None))
    if quitter.__module__ == "_sitebuiltins" and quitter.__call__ not in _Noted.wrappers:
        quitter.__call__ = _watched_method(quitter.__call__)  # type: ignore[method-assign]


def _watched(leave: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    @functools.wraps(leave)
    def watched_exit(status: Any = None, /) -> NoReturn:
        _note(status)
        leave(status)

    _Noted.wrappers.append(watched_exit)
    return watched_exit


def _watched_method(leave: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    @functools.wraps(leave)
    def watched_call(self: Any, code: Any = None) -> NoReturn:
        _note(code)
        leave(self, code)

    _Noted.wrappers.append(watched_call)
    return watched_call


def _note(code: object) -> None:
    if threading.current_thread() is threading.main_thread():
        bottom = sys._getframe()
        while bottom.f_back is not None:
            bottom = bottom.f_back
        _Noted.last = _Exit(code, bottom)
