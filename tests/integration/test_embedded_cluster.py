"""Kafka and ClickHouse on one directory: its mode and its cluster are remembered, another one is refused (R44)."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.cluster import EmbeddedCluster
from pipeline.embedded.errors import EmbeddedError
from tests.support.raw_http import ask


def test_a_directory_is_of_one_mode_and_one_cluster(server_dir: Path) -> None:
    data_dir = server_dir / "cluster"
    said: list[str] = []
    with EmbeddedCluster(data_dir, "replay", on_progress=said.append) as cluster:
        kafka_cluster_id = cluster.kafka.cluster_id
        ask(cluster.clickhouse.url, b"CREATE DATABASE kept ENGINE = Atomic")
    assert json.loads((data_dir / "cluster.json").read_text()) == {
        "mode": "replay",
        "kafka_cluster_id": kafka_cluster_id,
    }
    assert {line.partition(":")[0] for line in said} == {"kafka", "clickhouse"}

    with pytest.raises(EmbeddedError, match="holds a replay cluster and cannot be used in live mode"):
        EmbeddedCluster(data_dir, "live").start()

    with EmbeddedCluster(data_dir, "replay") as cluster:
        assert cluster.kafka.cluster_id == kafka_cluster_id
        assert "kept" in ask(cluster.clickhouse.url, b"SHOW DATABASES").text

    shutil.rmtree(data_dir / "kafka")
    with pytest.raises(EmbeddedError, match=f"belongs to Kafka cluster {kafka_cluster_id}, but .* lies none"):
        EmbeddedCluster(data_dir, "replay").start()


def cluster_of(data_dir: Path, kafka_cluster_id: str) -> EmbeddedCluster:
    """A directory as an earlier start may have left it."""
    log_dir = data_dir / "kafka" / "log"
    log_dir.mkdir(parents=True)
    (log_dir / "meta.properties").write_text(f"version=1\ncluster.id={kafka_cluster_id}\n")
    return EmbeddedCluster(data_dir, "live")


def test_another_kafka_beside_the_same_clickhouse_is_refused(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, "another")
    (tmp_path / "cluster.json").write_text('{"mode": "live", "kafka_cluster_id": "first"}')
    with pytest.raises(EmbeddedError, match=r"belongs to Kafka cluster first, but .* lies another: .* remove"):
        cluster.start()


@pytest.mark.parametrize(("content", "trouble"), [(None, "is missing"), ("{", "is damaged")])
def test_data_whose_mode_is_not_known_is_refused(tmp_path: Path, content: str | None, trouble: str) -> None:
    cluster = cluster_of(tmp_path, "first")
    if content is not None:
        (tmp_path / "cluster.json").write_text(content)
    with pytest.raises(EmbeddedError, match=rf"cluster\.json {trouble}, so it is not known whether"):
        cluster.start()


def test_if_one_does_not_come_up_the_other_does_not_stay(tmp_path: Path) -> None:
    with EmbeddedClickHouse(tmp_path / "clickhouse") as engine:
        cluster = EmbeddedCluster(tmp_path, "live")
        with pytest.raises(EmbeddedError, match=f"ClickHouse is already running on .*: process {engine.pid}"):
            cluster.start()
        assert not cluster.kafka.is_running
        assert engine.is_running
