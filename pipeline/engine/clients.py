"""Starts Kafka clients whole, and stops them within a few seconds, whatever state they are in.

What a stopped one leaves open on the brokers the next claim settles. aiokafka loses a connection when its start() is
cancelled while it asks the first broker for the cluster, so a start is not cancelled but waited for. Its own stop()
waits for ever for batches that no broker takes, ends as if cancelled where a fetch was in the middle of a retry, and
then leaves a sending task and connections behind: those are ended here, by its private parts.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import pipeline.engine.lost_connections  # noqa: F401  # it puts our part in the place of aiokafka's
from pipeline.engine.observer import describe

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
_CANCEL_SECONDS = 1.0


async def start_client(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Start a client; whoever is cancelled meanwhile is so when it has started, or some seconds later."""
    starting = asyncio.create_task(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=_CLOSE_SECONDS)
        starting.cancel()
        await asyncio.wait({starting}, timeout=_CANCEL_SECONDS)
        if starting.done() and not starting.cancelled():
            starting.exception()  # looked at: nobody waits for it any more
        raise


async def close_consumer(consumer: AIOKafkaConsumer, what: str) -> None:
    """Stop a consumer; one in a group leaves it, unless a rebalance holds it up."""
    if not await _ends(consumer.stop(), what):
        await _ends(consumer._client.close(), what)


async def close_producer(producer: AIOKafkaProducer, what: str) -> None:
    """Stop a producer, and whatever it still tries to send."""
    if not await _ends(producer.stop(), what):
        await _ends(producer._sender.close(), what)
        await _ends(producer.client.close(), what)


async def _ends(stopping: Coroutine[Any, Any, None], what: str) -> bool:
    # A task of its own: what is raised in there, a CancelledError above all, must not pass for ours.
    task = asyncio.create_task(stopping)
    done, _ = await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)
        log.warning("%s did not stop within %.0f s", what, _CLOSE_SECONDS)
    elif task.cancelled():
        log.warning("%s stopped halfway", what)
    elif (error := task.exception()) is not None:
        log.warning("%s did not stop cleanly: %s", what, describe(error))
    else:
        return True
    return False
