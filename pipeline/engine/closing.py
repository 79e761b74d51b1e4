"""Stops a Kafka client within a few seconds, whatever it says: what it leaves open is settled by the next claim."""

import asyncio
import logging
from collections.abc import Awaitable

from pipeline.engine.observer import describe

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


async def close(stopping: Awaitable[object], what: str) -> None:
    """Wait for a client's stop(); say so if it failed."""
    try:
        await asyncio.wait_for(stopping, _CLOSE_SECONDS)
    except Exception as error:
        log.warning("%s did not stop cleanly: %s", what, describe(error))
