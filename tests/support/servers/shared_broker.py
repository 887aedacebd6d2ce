"""One broker for all test processes: it costs as much for one test as for all, and the engine is what tests wait for.

The process that distributes the tests starts it in a thread, while the others collect theirs. A file has its address.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stepwell_deploy.errors import BrokerError
from stepwell_deploy.local.kafka import LocalKafka
from support.servers.scratch import scratch_folder

_ADDRESS: Final = "address"
_FAILURE: Final = "failure"
_WAIT_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.05


class SharedBroker:
    """A broker that other processes find by a folder."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-tests-broker-")))
        self._over = threading.Event()
        # The broker ends with the thread that started it.
        self._thread = threading.Thread(target=self._run, name="shared-broker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the broker, and remove its files."""
        self._over.set()
        self._thread.join()
        self._stack.close()

    def _run(self) -> None:
        with scratch_folder(self.folder / "files") as files:
            broker = LocalKafka(files / "kafka")
            try:
                broker.start()
            except BrokerError as error:
                self._publish(_FAILURE, str(error))
                return
            self._publish(_ADDRESS, broker.bootstrap_servers)
            self._over.wait()
            broker.stop()

    def _publish(self, name: str, text: str) -> None:
        partial = self.folder / f"{name}.partial"
        partial.write_text(text, "utf-8")
        partial.rename(self.folder / name)


def find_broker(folder: Path) -> str:
    """Return `host:port` of the shared broker, as soon as it runs. Raises: BrokerError, if it does not start."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if (folder / _ADDRESS).exists():
            return (folder / _ADDRESS).read_text("utf-8")
        if (folder / _FAILURE).exists():
            raise BrokerError((folder / _FAILURE).read_text("utf-8"))
        time.sleep(_POLL_SECONDS)
    raise BrokerError(f"no broker for the tests within {_WAIT_SECONDS:.0f} s")
