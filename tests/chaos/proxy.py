"""A network that can fail: connections to one port come in, go on to another, and are slowed down or cut on demand."""

import asyncio
from contextlib import suppress

_PIECE_BYTES = 65_536


class Proxy:
    """Passes bytes both ways between its own port and a target's, on loopback.

    Attributes:
        port: its own.
        delay_seconds: every piece waits so long before it goes on.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.delay_seconds = 0.0
        self.port, self._target_port = port, target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Drop all connections and take none, until opened again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._writers:
            # Again and again: one that was about to be made is there a moment later.
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        if self._server is None:  # cut meanwhile
            writer.close()
            back.close()
            return
        ends = {writer, back}
        self._writers |= ends
        try:
            await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        finally:
            self._writers -= ends

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side is done; then the other one is told."""
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(piece)
                await writer.drain()
        writer.close()
