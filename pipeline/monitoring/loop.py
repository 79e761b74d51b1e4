"""Whether the event loop gets its turns: nothing in; how long it was held, as a histogram, and when it was last free.

Heartbeats, commits and answers share the loop: held for long, a worker loses its partitions.
"""

import asyncio
import time
from typing import NoReturn

from prometheus_client import Histogram

_EVERY_SECONDS = 0.02
_ALIVE_SECONDS = 30.0

STALLS = Histogram(
    "event_loop_stall_seconds",
    "How much later than asked for the event loop came round, looked at fifty times a second",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


class LoopWatch:
    """Looks at one loop for as long as `run` runs."""

    def __init__(self) -> None:
        self._seen_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the loop came round of late; a process that just starts is given time."""
        return time.monotonic() < self._seen_at + _ALIVE_SECONDS

    async def run(self) -> NoReturn:
        """Look, until cancelled."""
        observe = STALLS.observe
        while True:
            due = time.monotonic() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._seen_at = time.monotonic()
            observe(max(0.0, self._seen_at - due))
