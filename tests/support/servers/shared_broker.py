"""One broker for all test processes: it costs as much for one test as for all, and the engine is what tests wait for.

The process that distributes the tests starts a child with it, while the others collect theirs. A file has its address.

python -m support.servers.shared_broker FOLDER     run it until SIGTERM
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stepwell_deploy.errors import BrokerError
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_deploy.local.processes import start_child, stop_child
from support.paths import TESTS
from support.servers.scratch import scratch_folder

_ADDRESS: Final = "address"
_FAILURE: Final = "failure"
_WAIT_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class SharedBroker:
    """A broker that other processes find by a folder."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-tests-broker-")))
        command = [sys.executable, "-m", "support.servers.shared_broker", str(self.folder)]
        self._process = start_child(command, self.folder / "output", {**os.environ, "PYTHONPATH": str(TESTS)})

    def stop(self) -> None:
        """Stop the broker, and remove its files."""
        stop_child(self._process, _STOP_SECONDS)
        self._stack.close()


def find_broker(folder: Path) -> str:
    """Return `host:port` of the shared broker, as soon as it runs. Raises: BrokerError, if it does not start."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if (folder / _ADDRESS).exists():
            return (folder / _ADDRESS).read_text("utf-8")
        if (folder / _FAILURE).exists():
            raise BrokerError((folder / _FAILURE).read_text("utf-8"))
        time.sleep(_POLL_SECONDS)
    output = (folder / "output").read_text("utf-8", "replace")
    raise BrokerError(f"no broker for the tests within {_WAIT_SECONDS:.0f} s: {output}")


def _run(folder: Path) -> None:
    with scratch_folder(folder / "files") as files:
        broker = LocalKafka(files / "kafka")
        try:
            broker.start()
        except BrokerError as error:
            _publish(folder, _FAILURE, str(error))
            return
        _publish(folder, _ADDRESS, broker.bootstrap_servers)
        # Only now, since children inherit what is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        signal.sigwait(_ENDS)
        broker.stop()


def _publish(folder: Path, name: str, text: str) -> None:
    partial = folder / f"{name}.partial"
    partial.write_text(text, "utf-8")
    partial.rename(folder / name)


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
