"""Ports to listen on."""

from __future__ import annotations

import socket

from stepwell_deploy.errors import PortInUseError


def claim_port(host: str, port: int, remedy: str) -> int:
    """Return `port` if it is free, and any free port for 0. Raises: PortInUseError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortInUseError(host, port, remedy) from None
        bound: int = probe.getsockname()[1]
        return bound
