"""Topics on a cluster: settings go in; topics are created or checked against the table, and the log's id comes out.

The log's id is made when the inputs are made. Whoever remembers positions elsewhere (the sink, in ClickHouse) remembers
it with them, so that a cluster made anew is not mistaken for the old one. It lies in the topic `log-id`: the first one
that is not void counts, so runs at the same instant find the same. Each is the key of its record, too: compaction keeps
them all in their order, and a tombstone makes one void.
Source: docs/rules.md R43, R44; pipeline/topics.py.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.errors import Mendable
from pipeline.kafka_access import NotLetIn, why_not_let_in
from pipeline.settings import Settings
from pipeline.topics import INPUTS, LOG_ID, PRICED_USAGE, TOPICS, Topic

Result = TypeVar("Result")

_METADATA_TRIES = 200
_TIME = "message.timestamp.type"

_ONE_LOG = (*INPUTS, PRICED_USAGE, LOG_ID)
"""Whichever of these is made anew, positions remembered elsewhere no longer mean anything."""

CLOCK = b"clock"
"""The key, in `log-id`, of records that are written for the broker's stamp alone; their value means nothing."""


@dataclass(frozen=True, slots=True)
class Created:
    """What `create_topics` did: names without the prefix."""

    log_id: str
    created: tuple[str, ...]
    existing: tuple[str, ...]


class TopicsWrong(Mendable):
    """Topics are missing, or are not what the table and the settings say; the message names each and the way out."""


async def create_topics(settings: Settings) -> Created:
    """Create what is missing, with a new log id where the inputs or what the sink reads are new.

    Raises:
        TopicsWrong: a topic exists with another number of partitions or another kind of time.
        KafkaError: no broker, or it refused.
    """
    async with open_admin(settings) as admin:
        # Ids are read before it is looked what is missing: an id that another run writes meanwhile is not made void.
        there = await _partitions(admin)
        log_ids = await _log_ids(settings) if settings.topic_prefix + LOG_ID.name in there else {}
        there = await _partitions(admin)
        missing = [topic for topic in TOPICS if settings.topic_prefix + topic.name not in there]
        if any(topic in missing for topic in _ONE_LOG):
            # Before they are made: whoever dies in between leaves a log without an id, not one with that of another.
            await _write_log_ids(settings, dict.fromkeys(log_ids))
        await _create(admin, missing, settings)
        await _check(admin, settings)
    if not await _log_ids(settings):
        log_id = secrets.token_hex(8).encode()
        await _write_log_ids(settings, {log_id: log_id})
    return Created(
        log_id=await read_log_id(settings),
        created=tuple(topic.name for topic in missing),
        existing=tuple(topic.name for topic in TOPICS if topic not in missing),
    )


async def check_topics(settings: Settings) -> str:
    """The log's id of a cluster whose topics are right; raises as `create_topics`, also where one is missing."""
    async with open_admin(settings) as admin:
        await _check(admin, settings)
    return await read_log_id(settings)


def run_topics(*, check: bool, wait_seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Create or check, and wait for Kafka so long; returns what happened, for people."""
    settings = Settings()
    created = asyncio.run(when_kafka_is_there(_checked if check else create_topics, settings, wait_seconds, say))
    return {**asdict(created), "partitions": settings.partitions, "mode": settings.mode}


async def read_log_id(settings: Settings) -> str:
    """The log's id.

    Raises:
        TopicsWrong: there is none.
    """
    for log_id in (await _log_ids(settings)).values():
        return log_id  # the first
    raise TopicsWrong(f"topic {settings.topic_prefix}{LOG_ID.name} holds no log id; run `usage-credits topics`")


async def _log_ids(settings: Settings) -> dict[bytes, str]:
    """Those that are not void by their records' keys, in the order in which they were written."""
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(settings.topic_prefix + LOG_ID.name, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        log_ids: dict[bytes, str] = {}
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=1_000)).get(place, ()):
                if record.value is None:
                    log_ids.pop(record.key, None)
                elif record.key != CLOCK:
                    log_ids[record.key] = record.value.decode()
    finally:
        await consumer.stop()
    return log_ids


async def _checked(settings: Settings) -> Created:
    return Created(await check_topics(settings), (), tuple(topic.name for topic in TOPICS))


async def when_kafka_is_there(
    task: Callable[[Settings], Awaitable[Result]], settings: Settings, seconds: float, say: Callable[[str], None]
) -> Result:
    """Do something with Kafka, and wait for it so long if it, or one broker of several, is away.

    Raises:
        NotLetIn: it is there, and refuses our login or our trust.
    """
    pause = 0.5
    while True:
        try:
            return await task(settings)
        except KafkaError as error:  # one of its brokers may be away, too
            refusal = await why_not_let_in(settings) if isinstance(error, KafkaConnectionError) else None
            if refusal and (refusal.is_final or seconds <= 0):
                raise NotLetIn(refusal.sentence) from error
            if seconds <= 0 or not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
        pause = min(pause * 2, 30, seconds)
        seconds -= pause
        away = f"no Kafka at {settings.kafka_bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS)"
        say(f"{refusal.sentence if refusal else away}; trying again in {pause:.0f} s")
        await asyncio.sleep(pause)


async def _write_log_ids(settings: Settings, records: Mapping[bytes, bytes | None]) -> None:
    """Write ids by their keys; None makes one void."""
    producer = AIOKafkaProducer(**settings.kafka(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for key, value in records.items():
            await producer.send_and_wait(settings.topic_prefix + LOG_ID.name, value, key, partition=0)
    finally:
        await producer.stop()


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**settings.kafka())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], settings: Settings) -> None:
    new = [
        NewTopic(
            settings.topic_prefix + topic.name,
            settings.partitions,
            settings.replication_factor,
            topic_configs=topic.config(settings.mode, settings.horizon_days)
            | {"min.insync.replicas": str(settings.written_replicas)},
        )
        for topic in topics
    ]
    answer = await admin.create_topics(new) if new else None
    for name, code, *message in answer.topic_errors if answer else ():
        error = for_code(code)
        if issubclass(error, KafkaError) and error.errno and error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {message[0] if message else ''}")
    # The controller made them; brokers hear of them one by one, and anybody may ask any of them next.
    names = {topic.name for topic in new}
    for _ in range(_METADATA_TRIES):
        if all(names <= known for known in await _known_to_each(admin)):
            return
        await asyncio.sleep(0.05)


async def _known_to_each(admin: AIOKafkaAdminClient) -> list[set[str]]:
    """The topics that each broker there is knows of; one that is away learns of them before it serves."""
    client = admin._client  # its own questions go to brokers at random
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    answers = [await client.send(node, MetadataRequest(None)) for node in nodes if await client.ready(node)]
    return [{topic["topic"] for topic in answer.to_object()["topics"] if topic["partitions"]} for answer in answers]


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Every topic of the cluster with its number of partitions. (To ask for one by name would create it.)"""
    topics = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if topic["partitions"]}


async def _check(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    there = await _partitions(admin)
    wanted = {settings.topic_prefix + topic.name: topic for topic in TOPICS}
    problems = []
    if missing := [name for name in wanted if name not in there]:
        problems.append(f"missing topics: {', '.join(missing)}; run `usage-credits topics`")
    if other := [
        f"{name} ({there[name]})" for name in wanted if there.get(name, settings.partitions) != settings.partitions
    ]:
        problems.append(
            f"another number of partitions than PARTITIONS={settings.partitions}: {', '.join(other)}; the number is "
            "fixed for a cluster's life (R43): set PARTITIONS to it, or take another cluster or TOPIC_PREFIX"
        )
    inputs = {name: topic for name, topic in wanted.items() if topic in INPUTS and name in there}
    types = await _timestamp_types(admin, list(inputs))
    if other := [name for name, kind in types.items() if kind != inputs[name].config(settings.mode)[_TIME]]:
        problems.append(
            f"not made for MODE={settings.mode}: {', '.join(other)} with {_TIME}={types[other[0]]} (R44); set MODE to "
            "what they were made for, or take another cluster or TOPIC_PREFIX"
        )
    if problems:
        raise TopicsWrong(f"Kafka at {settings.kafka_bootstrap_servers}: " + "\n  ".join(problems))


async def _timestamp_types(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    wanted = {_TIME: None}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names])
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}[_TIME]
        for answer in answers
        for resource in answer.resources
    }
