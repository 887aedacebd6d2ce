"""A cache of the classes that a broker loads: with it, a start takes half of the processor time.

python tests/support/servers/broker_cache.py     make the cache if it is missing
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from stepwell_deploy.local.kafka import KAFKA_COORDINATES, LocalKafka

_VARIABLE: Final = "JDK_JAVA_OPTIONS"
# Brokers of tests live for seconds: to compile them optimally costs more than it saves.
_OPTIONS: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_FILE: Final = Path(sys.prefix) / f"{KAFKA_COORDINATES.partition('+')[0].replace(':', '-')}.aot"
_STOP_SECONDS: Final = 120.0


def java_options() -> str:
    """Return the options of a test's JVM, with the cache if there is one; an unsuitable one is ignored by the JVM."""
    return f"{_OPTIONS} -XX:AOTCache={_FILE}" if _FILE.exists() else _OPTIONS


def use() -> None:
    """Let all brokers that this process and its children start use the options, unless the user set others."""
    os.environ.setdefault(_VARIABLE, java_options())


def make() -> None:
    """Start a broker once, and keep the classes that it has loaded."""
    if _FILE.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "broker.aot"
        os.environ[_VARIABLE] = f"{_OPTIONS} -XX:AOTCacheOutput={made}"
        broker = LocalKafka(Path(folder) / "kafka")
        broker.start()
        broker.stop(_STOP_SECONDS)
        # A copy, and then a rename: the folder may be on another file system, and others may be making the same.
        partial = _FILE.with_suffix(f".{os.getpid()}")
        partial.write_bytes(made.read_bytes())
        partial.replace(_FILE)


if __name__ == "__main__":
    make()
