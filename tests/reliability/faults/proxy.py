"""A TCP proxy in a separate thread, whose connections can be reset at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024
# Closing with a linger of 0 s sends a reset instead of an orderly end.
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections from its own port to `target`, a port on this machine."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy", daemon=True)
        self._thread.start()
        self._started.wait()

    def reset(self) -> int:
        """Reset all connections; return their number."""
        return asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result()

    def stop(self) -> None:
        """Stop, and reset open connections."""
        self.reset()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()

    async def _reset(self) -> int:
        writers = list(self._writers)
        for writer in writers:
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(writers) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, target_writer}
        try:
            await asyncio.gather(_pass_on(reader, target_writer), _pass_on(target_reader, writer))
        finally:
            self._writers -= {writer, target_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
