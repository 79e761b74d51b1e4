"""The network of chaos: when it is cut, it is cut, whatever is under way."""

import asyncio

import pytest

from pipeline.embedded.ports import LOOPBACK, free_port
from tests.chaos.proxy import Proxy


@pytest.mark.parametrize("steps", range(12))
async def test_a_connection_that_is_being_made_does_not_hold_up_a_cut(steps: int) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    proxy = Proxy(port, free_port())
    async with await asyncio.start_server(listen, LOOPBACK, proxy._target_port):
        await proxy.open()
        _, first = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.sleep(0.05)
        second = asyncio.create_task(asyncio.open_connection(LOOPBACK, port))
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.wait_for(proxy.cut(), 5)
        first.close()
        for opened in await asyncio.gather(second, return_exceptions=True):
            if not isinstance(opened, BaseException):
                opened[1].close()
