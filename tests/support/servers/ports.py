"""Ports of servers that end and start again at the same address."""

from __future__ import annotations

import random
from typing import Final

from stepwell_deploy.errors import PortInUseError
from stepwell_deploy.ports import claim_port

# Below the ports that systems give to whoever has no port of its own: 32768 and above on Linux, 49152 elsewhere.
_PORTS: Final = range(20_000, 32_000)


def claim_lasting_port() -> int:
    """Return a free port that no other program gets by chance while its server is down."""
    while True:
        try:
            return claim_port("127.0.0.1", random.SystemRandom().choice(_PORTS), "")
        except PortInUseError:
            continue
