"""A connection that is lost while something is sent fails as aiokafka's own do, under uvloop too."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

import pipeline.engine.lost_connections  # noqa: F401  # it puts our part in the place of aiokafka's

NO_VERSIONS = (0).to_bytes(2, "big") + (0).to_bytes(4, "big")


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that says which requests it knows, and is gone with whatever comes next."""
    request = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    response = request[4:8] + NO_VERSIONS
    writer.write(len(response).to_bytes(4, "big") + response)
    await reader.readexactly(1)
    writer.transport.abort()


async def send_in_every_turn() -> BaseException:
    """One request meets a transport that is closed already: how the first one fails that is not taken at all."""
    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        connection = await create_conn(*server.sockets[0].getsockname())
        taken = []
        try:
            while True:
                taken.append(asyncio.ensure_future(connection.send(ApiVersionRequest())))
                await asyncio.sleep(0)
        except Exception as error:
            failed = error
        connection.close()
        await asyncio.gather(*taken, return_exceptions=True)
        return failed


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_is_sent_on_a_lost_connection_fails_as_such(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert isinstance(runner.run(asyncio.wait_for(send_in_every_turn(), 30)), KafkaConnectionError)
