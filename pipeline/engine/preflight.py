"""Before the first claim: wait for Kafka, then check that the topics are what the engine relies on.

What a person can mend is told as a sentence, not as a stack trace.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from pipeline.engine.observer import describe
from pipeline.engine.settings import EngineSettings, Mode

log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 30.0
_MILLIS_PER_DAY = 86_400_000
_TIMESTAMP_TYPES: Mapping[Mode, str] = {"live": "LogAppendTime", "replay": "CreateTime"}


class Refused(Exception):
    """The worker does not start, or does not go on; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a worker must know of the cluster it works on.

    Attributes:
        id: Kafka's own.
        partitions: N, of every topic.
    """

    id: str
    partitions: int


async def cluster_when_ready(settings: EngineSettings) -> Cluster:
    """Wait until Kafka answers, and check the topics.

    Raises:
        Refused: topics are missing, differ in their partition counts, do not fit the mode, may hold what cannot be
            read, or are not kept for long enough.
    """
    wait_seconds = 1.0
    while True:
        try:
            return await _look(settings)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning(
                "no Kafka at %s (KAFKA_BOOTSTRAP_SERVERS): %s; trying again in %.0f s",
                settings.brokers,
                describe(error),
                wait_seconds,
            )
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)


async def _look(settings: EngineSettings) -> Cluster:
    admin = AIOKafkaAdminClient(**settings.kafka)
    try:
        await admin.start()
        described = await admin.describe_topics(list(settings.all_topics))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
        partitions = common_count(settings.all_topics, counts)
        if settings.partitions not in (None, partitions):
            raise Refused(
                f"the topics have {partitions} partitions, PARTITIONS is {settings.partitions}; the number is fixed "
                f"for a cluster's life (R43): set PARTITIONS to {partitions}, or name another TOPIC_PREFIX"
            )
        timed = [*settings.inputs.values()]
        if settings.mode == "live":
            timed.append(settings.topic(settings.ledger_journal))
        check_timestamps(settings.mode, await _values(admin, timed, "message.timestamp.type"))
        inputs = [*settings.inputs.values()]
        check_compression(settings.brokers, await _values(admin, inputs, "compression.type"))
        if settings.mode == "live":
            kept_ms = await _values(admin, [settings.topic(settings.seen_ids)], "retention.ms")
            check_kept(settings.brokers, kept_ms, settings.horizon_days)
        return Cluster(str((await admin.describe_cluster())["cluster_id"]), partitions)
    finally:
        await admin.close()


def common_count(wanted: Iterable[str], counts: Mapping[str, int]) -> int:
    """The partition count that all topics share."""
    missing = [topic for topic in wanted if topic not in counts]
    if missing:
        raise Refused(f"topics are missing: {', '.join(missing)}; create them: usage-credits topics")
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{topic} {count}" for topic, count in sorted(counts.items()))
        raise Refused(f"all topics must have as many partitions, these differ: {listed}")
    return next(iter(counts.values()))


def check_timestamps(mode: Mode, types: Mapping[str, str]) -> None:
    """Arrival is the broker's clock when live, the producer's in replay mode (R44)."""
    wrong = [topic for topic, kind in types.items() if kind != _TIMESTAMP_TYPES[mode]]
    if wrong:
        raise Refused(
            f"{mode} mode needs message.timestamp.type={_TIMESTAMP_TYPES[mode]}; {', '.join(wrong)} differ: "
            "these topics were made for the other mode, take another cluster or prefix"
        )


def check_compression(brokers: str, types: Mapping[str, str]) -> None:
    """A batch that some producer compressed with lz4, snappy or zstd could not be read: the broker must undo it."""
    wrong = [topic for topic, kind in types.items() if kind != "uncompressed"]
    if wrong:
        commands = "".join(
            f"\n  kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} "
            "--add-config compression.type=uncompressed"
            for topic in wrong
        )
        raise Refused(
            f"inputs need compression.type=uncompressed, or a producer's codec could stop their partitions; "
            f"{', '.join(wrong)} differ. Run:{commands}"
        )


def check_kept(brokers: str, kept_ms: Mapping[str, str], horizon_days: int) -> None:
    """What was seen must be known for the horizon and a day, to a worker with nothing on its disk too (R14)."""
    least_ms = (horizon_days + 1) * _MILLIS_PER_DAY
    for topic, kept in kept_ms.items():
        if 0 <= int(kept) < least_ms:  # -1: for ever
            raise Refused(
                f"{topic} is kept for {int(kept) / _MILLIS_PER_DAY:g} days, HORIZON_DAYS={horizon_days} needs "
                f"{horizon_days + 1}, or usage that comes again could be charged again. Run:"
                f"\n  kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} "
                f"--add-config retention.ms={least_ms}"
            )


async def _values(admin: AIOKafkaAdminClient, topics: Iterable[str], setting: str) -> dict[str, str]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, configs={setting: None}) for topic in topics]
    return {
        name: entry[1]
        for response in await admin.describe_configs(resources)
        for _code, _message, _kind, name, entries in response.resources
        for entry in entries
        if entry[0] == setting
    }
