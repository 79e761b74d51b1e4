"""`python -m sinks`: a sink configured by environment variables, until SIGTERM or SIGINT.

KAFKA_BOOTSTRAP_SERVERS, CLICKHOUSE_URL, CLICKHOUSE_DATABASE, TOPIC_PREFIX, GROUP_ID, LOG_ID, SESSION_TIMEOUT_MS,
BLOCK_SECONDS; anything more (TLS, SASL) comes through `usage-credits sink`.
"""

import asyncio
import logging
import os
import signal
import sys

from sinks.errors import Broken
from sinks.sink import SinkConfig, run_sink


def config_from_environment() -> SinkConfig:
    """The settings' defaults are those of `usage-credits`."""
    prefix = os.environ.get("TOPIC_PREFIX", "")
    return SinkConfig(
        kafka={"bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")},
        topic_prefix=prefix,
        group_id=os.environ.get("GROUP_ID", f"{prefix}sink"),
        clickhouse_url=os.environ.get("CLICKHOUSE_URL", "http://default@127.0.0.1:8123"),
        database=os.environ.get("CLICKHOUSE_DATABASE", "usage_credits"),
        log_id=os.environ["LOG_ID"],
        session_timeout_ms=int(os.environ.get("SESSION_TIMEOUT_MS", "10000")),
        block_seconds=float(os.environ.get("BLOCK_SECONDS", "1")),
    )


async def main() -> int:
    """Exit code: 0 when asked to stop, 1 when an invariant does not hold."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await run_sink(config_from_environment(), stop)
    except Broken as error:
        logging.getLogger("sinks").critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
