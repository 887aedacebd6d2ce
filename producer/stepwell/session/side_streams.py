"""Side streams of a session: system metrics and console output, recorded separately from the rows of the run.

Each has a thread and a stream of its own; disabled runs have none. In a forked child, printed lines are recorded if
`sys.stdout` and `sys.stderr` are hooked: without a thread, under the child's writer name, and numbered from its
parent's count at the fork.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.journal.journal import Journal
from stepwell.recording.stream_writer import StreamReceipt, StreamWriter
from stepwell.session.live_runs import finish_with_worker
from stepwell.session.notebook import watch_cells
from stepwell.session.open import open_stream
from stepwell.session.spec import RunSpec
from stepwell.terminal import notify
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.streams import CONSOLE, SYSTEM, stream_key

if TYPE_CHECKING:
    from stepwell.console.capture import Capture, Write
    from stepwell.console.child import ChildLines
    from stepwell.delivery.protocol import Delivery
    from stepwell.settings import ProducerSettings
    from stepwell.system.sampler import Owns, Sampler
    from stepwell.values.convert import Cell

STDOUT: Final = "stdout"
STDERR: Final = "stderr"
_NAMES: Final = (STDOUT, STDERR)
HOST: Final = "host"
"""Name of the text among the system metrics of a rank: the node that it runs on."""

_LABELS: Final = {SYSTEM: "system metrics", CONSOLE: "console output"}


class _NullDelivery:
    """No-op delivery in a forked child: the parent delivers the child's orphaned journals."""

    def add_journal(self, journal: Journal) -> None:
        """Do nothing: the journal stays in its folder."""


class SideStreams:
    """The side streams of a session."""

    def __init__(
        self, spec: RunSpec, settings: ProducerSettings, journal: Journal, delivery: Delivery, owns: Owns
    ) -> None:
        """Prepare the streams; `owns` is whether this session samples the machine, or a GPU, for its node."""
        self._owns = owns
        self._spec = spec
        self._settings = settings
        self._journal = journal
        self._delivery: Delivery | _NullDelivery = delivery
        self._writers: list[StreamWriter] = []
        self._sampler: Sampler | None = None
        self._capture: Capture | ChildLines | None = None
        self._stop_callbacks: list[Callable[[], None]] = []
        self._captured_names: list[str] = []
        self._in_child = False
        self._console: StreamWriter | None = None

    @property
    def lines_dropped(self) -> int:
        """Number of printed lines that were not recorded."""
        return 0 if self._capture is None else self._capture.dropped

    def start(self) -> None:
        """Start the streams that the settings enable. A stream that can't start is reported, and training continues."""
        if self._spec.mode == "disabled":
            return
        try:
            if self._settings.system_seconds:
                self._start_system(self._settings.system_seconds)
            if self._settings.console != "off":
                self._start_console(redirected=self._settings.console == "redirect")
        except RuntimeError as error:  # the thread limit is reached, or the interpreter shuts down
            notify(f"{self._spec.path.run_id}: no system metrics or console output: {error}")

    def _start_system(self, seconds: float) -> None:
        from stepwell.system.sampler import Sampler

        log = self._stream(SYSTEM)
        keys: dict[str, str] = {}

        launch = self._spec.launch

        def write(metrics: dict[str, float], at: int) -> bool:
            for name in metrics.keys() - keys:
                keys[name] = self._key(SYSTEM, name)
            cells: dict[str, Cell] = {keys[name]: ("number", value) for name, value in metrics.items()}
            if launch.parallel and log.current == 0:
                cells[self._key(SYSTEM, HOST)] = ("string", self._spec.host)
            return log.write(cells, at)

        folder = _nearest_existing_folder(self._journal.path)
        self._sampler = Sampler(seconds, folder, write, self._owns, patient=launch.local_rank > 0)
        self._sampler.start()

    def _start_console(self, *, redirected: bool) -> None:
        from stepwell.console.capture import Capture
        from stepwell.console.stream_hook import renew_hooks

        self._capture = Capture(self._console_writer(0), renew_hooks)
        self._stop_callbacks.append(watch_cells(renew_hooks))
        self._capture.start()
        if redirected:
            self._redirect(self._capture)
            return
        for name in _NAMES:
            self._capture_stream(name, self._capture)

    def _console_writer(self, first_step: int) -> Write:
        log = self._console = self._stream(CONSOLE, first_step)
        keys = {name: self._key(CONSOLE, name) for name in _NAMES}

        def write(name: str, line: str, at: int, stays: bool) -> bool:
            return log.write({keys[name]: ("string", line)}, at, stays=stays)

        return write

    def _capture_stream(self, name: str, capture: Capture | ChildLines) -> None:
        from stepwell.console.stream_hook import hook_stream

        try:
            self._stop_callbacks.append(hook_stream(name, capture.put))
            self._captured_names.append(name)
        except TypeError as error:
            notify(f"{self._spec.path.run_id}: {error}; its lines are not recorded")

    def _redirect(self, capture: Capture) -> None:
        from stepwell.console.redirect import redirect

        try:
            stop, unredirected = redirect(capture)
        except OSError as error:
            notify(f"{self._spec.path.run_id}: can't redirect output ({error}); capturing sys.stdout and sys.stderr")
            unredirected = list(_NAMES)
        else:
            self._stop_callbacks.append(stop)
        for name in unredirected:
            self._capture_stream(name, capture)

    def _stream(self, stream: str, first_step: int = 0) -> StreamWriter:
        label = f"{self._spec.path.run_id}: {_LABELS[stream]}"
        log = StreamWriter(label, lambda: open_stream(self._spec, self._journal, stream), self._deliver, first_step)
        self._writers.append(log)
        return log

    def _deliver(self, journal: Journal) -> None:
        self._delivery.add_journal(journal)
        if self._in_child:
            finish_with_worker()

    def _key(self, stream: str, name: str) -> str:
        try:
            return check_key(stream_key(self._spec.writer, stream, name))
        except KeyRuleError:
            # The writer's name is no valid key: such writers share the keys without a writer name.
            return stream_key("", stream, name)

    def put(self, name: str, text: str) -> None:
        """Record text as output of a stream, if console output is captured."""
        if self._capture is not None:
            self._capture.put(name, text)

    def record_error(self, error: BaseException) -> None:
        """Record what Python prints of the error that ends the run: it does so after capturing has ended."""
        if isinstance(error, SystemExit):
            self.put(STDERR, "" if error.code is None or isinstance(error.code, int) else f"{error.code}\n")
            return
        # Imported here: it would take a fifth of the time of `import stepwell`.
        import traceback

        self.put(STDERR, "".join(traceback.format_exception(error)))

    def stop(self) -> None:
        """Stop within seconds, with everything captured written to the journals.

        A forked child continues to capture: multiprocessing prints a worker's traceback after its exit handlers.
        """
        if self._in_child:
            if self._capture is not None:
                self._capture.stop()
            return
        for stop in self._stop_callbacks:
            stop()
        self._stop_callbacks.clear()
        parts: tuple[Any, ...] = (self._capture, self._sampler)
        for part in parts:
            if part is not None:
                part.stop()
        for log in self._writers:
            log.close()

    def journals(self) -> list[Path]:
        """Return the paths of the journals."""
        return [log.journal.path for log in self._writers if log.journal is not None]

    def release(self) -> list[StreamReceipt]:
        """Release the journals, and return the result of each; the parent delivers those of a forked child."""
        if self._in_child:
            return []
        return [log.release(keep=self._spec.keep_journal) for log in self._writers]

    def in_child(self, spec: RunSpec) -> None:
        """In a forked child: abandon the parent's journals, stop sampling, and capture printed lines again.

        The parent delivers the lines after the child has exited, unless `start_child_session` delivers them before.

        Args:
            spec: the specification of the child's session.
        """
        captured, self._captured_names = self._captured_names, []
        for stop in self._stop_callbacks:
            with contextlib.suppress(OSError):
                stop()
        self._stop_callbacks.clear()
        for log in self._writers:
            log.abandon_in_child()
        first_step = 0 if self._console is None else self._console.current
        if self._capture is not None:
            first_step += self._capture.pending_lines()
        self._sampler = self._capture = None
        self._spec, self._in_child, self._delivery = spec, True, _NullDelivery()
        if not captured or self._console is None:
            return
        from stepwell.console.child import ChildLines

        self._writers = []
        self._capture = ChildLines(self._console_writer(first_step))
        for name in captured:
            self._capture_stream(name, self._capture)

    def start_child_session(self, delivery: Delivery) -> None:
        """In a forked child that logs rows: deliver its printed lines, too."""
        self._delivery = delivery
        for log in self._writers:
            if log.journal is not None:
                delivery.add_journal(log.journal)


def _nearest_existing_folder(path: Path) -> Path:
    """Return the nearest existing parent folder of a path."""
    return next((folder for folder in path.parents if folder.exists()), Path())
