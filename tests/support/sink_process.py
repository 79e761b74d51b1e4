"""`python -m tests.support.sink_process CONFIG`: a sink whose settings are JSON, until SIGTERM or SIGINT.

`usage-credits sink` is the same sink; this one may have a log of any id, and blocks of any length.
"""

import asyncio
import json
import logging
import signal
import sys

from sinks.errors import Broken
from sinks.sink import SinkConfig, run_sink


async def main(config: SinkConfig) -> int:
    """Exit code: 0 when asked to stop, 1 when an invariant does not hold."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await run_sink(config, stop)
    except Broken as error:
        logging.getLogger("sinks").critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(SinkConfig(**json.loads(sys.argv[1])))))
