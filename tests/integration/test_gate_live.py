"""Streams of what moves: as many as anybody's tabs need, and none that stays when its reader has gone."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from pipeline.gate.live import MOST_OF_ONE
from tests.support.gate_world import GateWorld

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

LIVE = "/v1/organizations/acme/live"


async def opened(gate: GateWorld, stack: AsyncExitStack, user_id: str) -> httpx.Response:
    return await stack.enter_async_context(gate.http.stream("GET", LIVE, headers=gate.headers(user_id)))


async def test_one_person_cannot_hold_the_connections_that_products_need(gate: GateWorld) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            assert (await opened(gate, stack, "mia")).status_code == 200
        refused = await opened(gate, stack, "mia")
        await refused.aread()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert (await opened(gate, stack, "adam")).status_code == 200
    async with asyncio.timeout(30):
        while True:  # until the gate knows that they have gone
            async with AsyncExitStack() as stack:
                if (await opened(gate, stack, "mia")).status_code == 200:
                    break
