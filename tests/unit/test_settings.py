"""Settings that depend on each other."""

import pytest
from pydantic import ValidationError

from pipeline.errors import sentence_for
from pipeline.settings import Settings


@pytest.mark.parametrize(
    ("replication_factor", "min_insync_replicas", "written_replicas"),
    [(1, None, 1), (2, None, 1), (3, None, 2), (3, 1, 1), (3, 3, 3)],
)
def test_one_broker_may_be_lost_unless_it_is_set_otherwise(
    replication_factor: int, min_insync_replicas: int | None, written_replicas: int
) -> None:
    settings = Settings(replication_factor=replication_factor, min_insync_replicas=min_insync_replicas)
    assert settings.written_replicas == written_replicas


def test_more_replicas_in_sync_than_there_are_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(replication_factor=1, min_insync_replicas=2)
    sentence = sentence_for(raised.value)
    assert sentence is not None
    assert "MIN_INSYNC_REPLICAS=2 is more than REPLICATION_FACTOR=1" in sentence


@pytest.mark.parametrize("servers", ["", "kafka", "kafka:abc", "kafka-1:9092,kafka-2", "kafka://kafka:9092"])
def test_a_broker_that_is_no_host_and_port_is_named(servers: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(kafka_bootstrap_servers=servers)
    sentence = sentence_for(raised.value)
    assert sentence is not None
    assert f"KAFKA_BOOTSTRAP_SERVERS={servers}: " in sentence
    assert "is not host:port; write kafka-1:9092,kafka-2:9092" in sentence


@pytest.mark.parametrize("servers", ["kafka:9092", "kafka-1:9092, kafka-2:9092", "[::1]:9092", "127.0.0.1:0"])
def test_brokers_may_be_names_and_addresses(servers: str) -> None:
    assert Settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


@pytest.mark.parametrize(
    "url", ["", "clickhouse:8123", "ftp://clickhouse", "http://", "http://default:s3cret@host:port"]
)
def test_an_address_that_is_no_server_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(clickhouse_url=url)
    sentence = sentence_for(raised.value)
    assert sentence is not None
    assert "CLICKHOUSE_URL is not the URL of a server" in sentence
    assert "s3cret" not in sentence
