"""What the tests of the page share: one stack (Kafka, ledger, sink, ClickHouse, gate) and one Chromium."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.settings import Settings
from tests.support.browsing import Browsing, Organization, chromium, make
from tests.support.gate_world import GateWorld, gate_world, sink_running


@pytest.fixture(scope="session")
async def stack(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, server_dir: Path, fresh_name: Callable[[str], str]
) -> AsyncIterator[GateWorld]:
    """Everything that stands behind the page; one per worker of the test run."""
    data_dir = server_dir / "page"
    data_dir.mkdir()
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("page"),
        topic_prefix=fresh_name("page") + ".",
        partitions=2,
        data_dir=data_dir,
        gate_port=free_port(),
        gate_dev_tokens=True,
        gate_answer_seconds=60,  # longer than who asks here waits: nothing may be waited for that does not come
        gate_user_requests_per_second=1_000,
    )
    async with gate_world(settings) as running, sink_running(settings):
        yield running


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
async def browsing(browser: Browser, stack: GateWorld) -> AsyncIterator[Browsing]:
    """Opens the page for people; nobody's browser may complain of a script or of our policy."""
    opened = Browsing(browser, stack)
    yield opened
    await opened.close()
    assert opened.complaints == []


@pytest.fixture
async def org(stack: GateWorld) -> Organization:
    return await make(stack)


@pytest.fixture
async def team(stack: GateWorld) -> Organization:
    return await make(stack, "team")
