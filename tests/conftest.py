"""What all tests share: one Kafka and one ClickHouse per test run, fresh names, Hypothesis profiles."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, settings

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

_NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, all others in their order."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A directory for the data of servers, gone when the run is over."""
    # Not pytest's: it keeps the last three runs, and these hold hundreds of megabytes.
    directory = Path(tempfile.mkdtemp(prefix="usage-credits-tests-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(server_dir: Path) -> Iterator[EmbeddedKafka]:
    """A running Kafka, one per worker of the test run; tests keep apart by their names."""
    with EmbeddedKafka(server_dir / "kafka") as node:
        yield node


@pytest.fixture(scope="session")
def clickhouse(server_dir: Path) -> Iterator[EmbeddedClickHouse]:
    """A running ClickHouse, one per worker of the test run; tests keep apart by their databases."""
    with EmbeddedClickHouse(server_dir / "clickhouse") as engine:
        yield engine


@pytest.fixture(scope="session")
def fresh_name() -> Callable[[str], str]:
    """Makes names that no other test of this run has: for topics, groups, databases."""
    return lambda what: f"{what}_{os.getpid()}_{next(_NUMBERS)}"


@pytest.fixture
def topic_prefix(fresh_name: Callable[[str], str]) -> str:
    """A prefix for the topics, groups and transactional ids of one test."""
    return fresh_name("test") + "."


@pytest.fixture
def database(clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """An empty database of its own for one test."""
    name = fresh_name("test")
    with closing(clickhouse_connect.get_client(dsn=clickhouse.url)) as client:
        client.command(f"CREATE DATABASE {name} ENGINE = Atomic")
        yield name
        client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse, database: str) -> Iterator[Client]:
    """A client of ClickHouse in that database."""
    with closing(clickhouse_connect.get_client(dsn=clickhouse.url, database=database)) as connected:
        yield connected
