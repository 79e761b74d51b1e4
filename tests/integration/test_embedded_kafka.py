"""The embedded Kafka: transactions, restarts, kills, and what it says when it cannot start."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.embedded.kafka import EmbeddedKafka


async def test_a_committed_transaction_is_read_and_an_aborted_one_is_not(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    topic = topic_prefix + "events"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
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
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await consumer.start()
    first, second = await consumer.getone(), await consumer.getone()
    await consumer.stop()
    assert [first.value, second.value] == [b"committed", b"last"]
