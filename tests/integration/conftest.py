"""What the tests of the gate share: one running gate."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.settings import Settings
from tests.support.gate_world import GateWorld, gate_world, make_organization, sink_running


@pytest.fixture(scope="session")
async def gate(
    kafka: EmbeddedKafka,
    clickhouse: EmbeddedClickHouse,
    server_dir: Path,
    fresh_name: Callable[[str], str],
) -> AsyncIterator[GateWorld]:
    """A gate with ledger and sink, and three organisations; one per worker of the test run."""
    data_dir = server_dir / "gate"
    data_dir.mkdir()
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("gate"),
        topic_prefix=fresh_name("gate") + ".",
        partitions=2,
        data_dir=data_dir,
        gate_port=free_port(),
        gate_dev_tokens=True,
        gate_answer_seconds=60,  # longer than who asks here waits: nothing may be waited for that does not come
        gate_user_requests_per_second=10_000,
        log_format="json",
    )
    async with gate_world(settings) as running, sink_running(settings):
        await make_organization(running, "acme")
        await make_organization(running, "globex")
        await make_organization(running, "initech", "io", "ia", "im")
        yield running
