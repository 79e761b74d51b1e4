"""The embedded Kafka: transactions, restarts, kills, and what it says when it cannot start."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import KafkaError, Producer

from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.kafka_jars import KAFKA_VERSION

pytestmark = pytest.mark.kafka


async def make_topic(bootstrap_servers: str, topic: str, **security: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, **security)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def send(bootstrap_servers: str, topic: str, *values: bytes, **security: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", **security)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read(bootstrap_servers: str, topic: str, count: int, **security: str) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
        **security,
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_what_was_committed_is_read_and_what_was_aborted_is_not(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    topic = topic_prefix + "events"
    await make_topic(kafka.bootstrap_servers, topic)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic_prefix + "writer")
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"committed")
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"aborted")
    await producer.abort_transaction()
    async with producer.transaction():
        await producer.send_and_wait(topic, b"last")
    await producer.stop()
    assert await read(kafka.bootstrap_servers, topic, 2) == [b"committed", b"last"]


def test_a_topic_that_nobody_made_is_not_made_by_asking_for_it(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "allow.auto.create.topics": True})
    for _ in range(2):
        described = producer.list_topics(topic_prefix + "misspelt", timeout=30).topics[topic_prefix + "misspelt"]
        assert described.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


async def test_records_address_and_cluster_survive_a_stop_and_a_kill(server_dir: Path) -> None:
    with EmbeddedKafka(server_dir / "kept") as node:
        before = (node.bootstrap_servers, node.cluster_id)
        await make_topic(node.bootstrap_servers, "kept")
        await send(node.bootstrap_servers, "kept", b"one")
        node.stop()
        node.start()
        await send(node.bootstrap_servers, "kept", b"two")
        node.kill()
        node.start()
        assert (node.bootstrap_servers, node.cluster_id) == before
        assert await read(node.bootstrap_servers, "kept", 2) == [b"one", b"two"]


def test_its_log_says_what_it_did(kafka: EmbeddedKafka) -> None:
    assert "Kafka Server started" in (kafka.data_dir / "kafka.log").read_text()


def test_a_second_one_on_the_same_directory_is_refused(kafka: EmbeddedKafka) -> None:
    with pytest.raises(EmbeddedError, match=rf"already running on {kafka.data_dir}: process {kafka.pid}, started 20"):
        EmbeddedKafka(kafka.data_dir).start()
    assert kafka.is_running


def test_a_taken_port_is_refused(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    port = int(kafka.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(EmbeddedError, match=f"port {port} of 127.0.0.1 is taken"):
        EmbeddedKafka(tmp_path, port=port).start()


async def test_clients_can_be_made_to_log_in(server_dir: Path) -> None:
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="node" password="n" '
    users = 'user_node="n" user_ledger="s3cret";'
    settings = {
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": login + users,
    }
    with EmbeddedKafka(server_dir / "sasl", settings=settings) as node:
        security = {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "ledger",
            "sasl_plain_password": "s3cret",
        }
        await make_topic(node.bootstrap_servers, "t", **security)
        await send(node.bootstrap_servers, "t", b"one", **security)
        assert await read(node.bootstrap_servers, "t", 1, **security) == [b"one"]


def test_a_half_made_cluster_is_made_anew(server_dir: Path) -> None:
    said: list[str] = []
    half_made = server_dir / "half" / "log.half-made"
    half_made.mkdir(parents=True)
    (half_made / "meta.properties").write_text("version=1\n")
    with EmbeddedKafka(server_dir / "half", on_progress=said.append) as node:
        assert len(node.cluster_id) == 22
    assert not half_made.exists()
    assert [line for line in said if "making a new cluster" in line]


def test_a_damaged_directory_is_said_not_mended(tmp_path: Path) -> None:
    (tmp_path / "log" / "orders-0").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match=r"log is not a whole Kafka directory: meta.properties names no cluster"):
        EmbeddedKafka(tmp_path).start()
    assert (tmp_path / "log" / "orders-0").exists()


def test_a_setting_that_kafka_does_not_take_is_told_in_its_words(server_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"(?s)could not make a cluster .*num\.io\.threads"):
        EmbeddedKafka(server_dir / "wrong", settings={"num.io.threads": "none"}).start()


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedError, match=r"Kafka cannot use .*file.*choose another directory"):
        EmbeddedKafka(file).start()


def test_without_network_or_cache_the_next_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(EmbeddedError, match=r"could not be downloaded: .*try again with a network"):
        EmbeddedKafka(tmp_path / "kafka").start()
    # An interrupted download is never taken for a whole one.
    assert not (tmp_path / "cache" / "usage-credits" / f"kafka-{KAFKA_VERSION}").exists()


def test_addresses_are_known_after_the_start(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"has no address yet; call start\(\) first"):
        _ = EmbeddedKafka(tmp_path).bootstrap_servers
