"""Clients of aiokafka started and given up: no connection is left to the garbage collector."""

import asyncio
import gc
import warnings
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.clients import close_consumer, start_client

pytestmark = pytest.mark.kafka


async def test_a_client_given_up_at_any_moment_of_its_start_leaves_no_connection_behind(kafka: EmbeddedKafka) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for quarter_millis in range(60):
            consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
            starting = asyncio.create_task(start_client(consumer))
            await asyncio.sleep(quarter_millis / 4_000)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            await close_consumer(consumer, "the consumer")
            del consumer, starting
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []
