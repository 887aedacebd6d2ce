"""What a session keeps beside its rows by itself: system metrics and console output, as its settings say.

Each is a part of its own, with a thread and a stream; none is in a disabled run. Of a forked child, the lines that it
prints are kept where `sys.stdout` and `sys.stderr` are listened to: without a thread, under a writer's name of its own,
numbered from where its parent's were at the fork.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.journal.journal import Journal
from stepwell.recording.stream_writer import StreamAccount, StreamLog
from stepwell.session.live_runs import finish_with_worker
from stepwell.session.open import open_stream
from stepwell.session.spec import Plan
from stepwell.terminal import say
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.streams import CONSOLE, SYSTEM, stream_key

if TYPE_CHECKING:
    from stepwell.console.capture import Capture, Write
    from stepwell.console.child import ChildLines
    from stepwell.delivery.sender import Delivery
    from stepwell.settings import ProducerSettings
    from stepwell.system.sampler import Sampler

STDOUT: Final = "stdout"
STDERR: Final = "stderr"
_NAMES: Final = (STDOUT, STDERR)
_LABELS: Final = {SYSTEM: "system metrics", CONSOLE: "console output"}


class _Nobody:
    """Delivers nothing: the parent looks for what a forked child leaves behind."""

    def also(self, journal: Journal) -> None:
        """It stays in the folder."""


class Beside:
    """The streams beside a session's rows."""

    def __init__(self, plan: Plan, settings: ProducerSettings, journal: Journal, delivery: Delivery) -> None:
        self._plan = plan
        self._settings = settings
        self._journal = journal
        self._delivery: Delivery | _Nobody = delivery
        self._logs: list[StreamLog] = []
        self._sampler: Sampler | None = None
        self._capture: Capture | ChildLines | None = None
        self._endings: list[Callable[[], None]] = []
        self._heard: list[str] = []
        self._in_child = False
        self._console: StreamLog | None = None

    @property
    def lines_dropped(self) -> int:
        """Lines that were printed and not kept."""
        return 0 if self._capture is None else self._capture.dropped

    def start(self) -> None:
        """Begin what the settings ask for. What can't begin is said, and training goes on without it."""
        if self._plan.mode == "disabled":
            return
        try:
            if self._settings.system_seconds:
                self._start_system(self._settings.system_seconds)
            if self._settings.console != "off":
                self._start_console(redirected=self._settings.console == "redirect")
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            say(f"{self._plan.path.run_id}: no system metrics or console output: {error}")

    def _start_system(self, seconds: float) -> None:
        from stepwell.system.sampler import Sampler

        log = self._stream(SYSTEM)
        keys: dict[str, str] = {}

        def write(metrics: dict[str, float], at: int) -> bool:
            for name in metrics.keys() - keys:
                keys[name] = self._key(SYSTEM, name)
            return log.write({keys[name]: ("number", value) for name, value in metrics.items()}, at)

        self._sampler = Sampler(seconds, _existing(self._journal.path), write)
        self._sampler.start()

    def _start_console(self, *, redirected: bool) -> None:
        from stepwell.console.capture import Capture

        self._capture = Capture(self._console_writer(0))
        self._capture.start()
        if redirected:
            self._redirect(self._capture)
            return
        for name in _NAMES:
            self._listen(name, self._capture)

    def _console_writer(self, first_step: int) -> Write:
        log = self._console = self._stream(CONSOLE, first_step)
        keys = {name: self._key(CONSOLE, name) for name in _NAMES}

        def write(name: str, line: str, at: int, stays: bool) -> bool:
            return log.write({keys[name]: ("string", line)}, at, stays=stays)

        return write

    def _listen(self, name: str, capture: Capture | ChildLines) -> None:
        from stepwell.console.stream_hook import listen

        try:
            self._endings.append(listen(name, capture.put))
            self._heard.append(name)
        except TypeError as error:
            say(f"{self._plan.path.run_id}: {error}; its lines are not kept")

    def _redirect(self, capture: Capture) -> None:
        from stepwell.console.redirect import redirect

        try:
            ending, apart = redirect(capture)
        except OSError as error:
            say(f"{self._plan.path.run_id}: output can't be redirected ({error}); sys.stdout and sys.stderr are heard")
            apart = list(_NAMES)
        else:
            self._endings.append(ending)
        for name in apart:
            self._listen(name, capture)

    def _stream(self, stream: str, first_step: int = 0) -> StreamLog:
        label = f"{self._plan.path.run_id}: {_LABELS[stream]}"
        log = StreamLog(label, lambda: open_stream(self._plan, self._journal, stream), self._deliver, first_step)
        self._logs.append(log)
        return log

    def _deliver(self, journal: Journal) -> None:
        self._delivery.also(journal)
        if self._in_child:
            finish_with_worker()

    def _key(self, stream: str, name: str) -> str:
        try:
            return check_key(stream_key(self._plan.writer, stream, name))
        except KeyRuleError:
            # A writer whose name no key may have: its values share a key with those of writers like it.
            return stream_key("", stream, name)

    def put(self, name: str, text: str) -> None:
        """Keep text as a stream's output, where console output is kept."""
        if self._capture is not None:
            self._capture.put(name, text)

    def note(self, error: BaseException) -> None:
        """Keep the traceback of what ends the run, which Python prints when nobody listens any more."""
        # Imported here, since it would be a fifth of what `import stepwell` costs.
        import traceback

        self.put(STDERR, "".join(traceback.format_exception(error)))

    def stop(self) -> None:
        """End, within seconds; everything that was taken is in the journals then.

        A forked child goes on listening: multiprocessing prints a worker's traceback after what ends it.
        """
        if self._in_child:
            if self._capture is not None:
                self._capture.stop()
            return
        for ending in self._endings:
            ending()
        self._endings.clear()
        parts: tuple[Any, ...] = (self._capture, self._sampler)
        for part in parts:
            if part is not None:
                part.stop()
        for log in self._logs:
            log.close()

    def account(self) -> list[StreamAccount]:
        """Let go of the journals, and return what became of each; a forked child's are its parent's to deliver."""
        if self._in_child:
            return []
        return [log.account(keep=self._plan.keep_journal) for log in self._logs]

    def in_child(self, plan: Plan) -> None:
        """In a forked child, whose plan is given: leave the parent's journals alone, sample nothing, and listen anew.

        What is printed is delivered by the parent once the child has ended, or by `begin_in_child`.
        """
        heard, self._heard = self._heard, []
        for ending in self._endings:
            with contextlib.suppress(OSError):
                ending()
        self._endings.clear()
        for log in self._logs:
            log.abandon_in_child()
        first_step = 0 if self._console is None else self._console.current
        if self._capture is not None:
            first_step += self._capture.waiting_in_child()
        self._sampler = self._capture = None
        self._plan, self._in_child, self._delivery = plan, True, _Nobody()
        if not heard or self._console is None:
            return
        from stepwell.console.child import ChildLines

        self._logs = []
        self._capture = ChildLines(self._console_writer(first_step))
        for name in heard:
            self._listen(name, self._capture)

    def begin_in_child(self, delivery: Delivery) -> None:
        """In a forked child that logs itself from now on: deliver what it prints, too."""
        self._delivery = delivery
        for log in self._logs:
            if log.journal is not None:
                delivery.also(log.journal)


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that is there."""
    return next((folder for folder in path.parents if folder.exists()), Path())
