"""Replay mode (R44): arrival is the producer's timestamp, and the same input gives the same answer on any day."""

from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.contract import Effects
from pipeline.engine.settings import EngineSettings
from pipeline.engine.ticks import write_ticks
from tests.support.engine_cluster import PARTITIONS, Cluster, cluster, engine_settings
from tests.support.toy_engine import running, until
from tests.support.toy_ledger import Toy

pytestmark = pytest.mark.kafka

MINUTE_MS = 60_000
PERIOD_MICROS = 10 * MINUTE_MS * 1_000
END_MS = 10_000 * MINUTE_MS


def replaying(kafka: EmbeddedKafka, prefix: str) -> EngineSettings:
    return engine_settings(kafka.bootstrap_servers, prefix, mode="replay", max_records=50)


async def send_usage(topics: Cluster) -> None:
    for i in range(300):
        await topics.send([f"org-{i % 7} e{i} {i % 5 + 1}"], at_ms=i * MINUTE_MS)


async def send_commands(topics: Cluster) -> None:
    for i in range(40):
        await topics.send([f"org-{i % 7} {i + 2}"], "account-commands", at_ms=7 * i * MINUTE_MS)


async def tick(topics: Cluster, at_ms: int) -> None:
    settings = topics.settings
    async with AIOKafkaProducer(**settings.kafka) as producer:
        await write_ticks(producer, settings.inputs.values(), PARTITIONS, at_ms * 1_000)


async def closed_to_the_end(topics: Cluster) -> None:
    """Wait until the ticks have moved every partition's clock, then read all of it."""
    await topics.until(
        lambda: all(
            (journal := topics.journal(number)) and journal[-1]["now_micros"] == END_MS * 1_000
            for number in range(PARTITIONS)
        )
    )
    await topics.settle()


async def test_all_input_there_at_once(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    """Where usage and commands are worked through in order of arrival, each period's end between its neighbours."""
    async with cluster(replaying(kafka, topic_prefix)) as topics:
        await send_usage(topics)
        await send_commands(topics)
        await tick(topics, END_MS)
        async with running(topics.settings, period_micros=PERIOD_MICROS):
            await closed_to_the_end(topics)
        topics.check(period_micros=PERIOD_MICROS)
        assert [topics.partition_lines(number) for number in range(PARTITIONS)] == await by_arrival(topics)


@pytest.mark.parametrize("most_records", [1, 7])
@pytest.mark.parametrize("commands_first", [True, False])
async def test_input_that_comes_while_it_runs_in_chunks_of_any_size(
    kafka: EmbeddedKafka, topic_prefix: str, most_records: int, commands_first: bool
) -> None:
    async with cluster(replaying(kafka, topic_prefix)) as topics:
        async with running(topics.settings, period_micros=PERIOD_MICROS, most_records=most_records):
            for send in (send_commands, send_usage) if commands_first else (send_usage, send_commands):
                await send(topics)
            await tick(topics, END_MS)
            await closed_to_the_end(topics)
        topics.check(period_micros=PERIOD_MICROS)
        assert [topics.partition_lines(number) for number in range(PARTITIONS)] == await by_arrival(topics)


async def by_arrival(topics: Cluster) -> list[list[str]]:
    """What must come out, from the input alone: no journal, no chunks."""
    return [topics.merged_lines(number, PERIOD_MICROS, END_MS * 1_000) for number in range(PARTITIONS)]


async def test_usage_is_not_processed_past_the_last_that_is_known_of_the_commands(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    async with cluster(replaying(kafka, topic_prefix)) as topics, running(topics.settings):
        await topics.send(["org-1 e1 1"], at_ms=MINUTE_MS)
        await topics.send(["org-1 e2 1"], at_ms=3 * MINUTE_MS)
        await tick_commands(topics, 2 * MINUTE_MS)
        await topics.until(lambda: len(topics.lines()) == 1)
        assert topics.lines() == ["org-1 e1 1"]
        await topics.send(["org-1 10"], "account-commands", at_ms=3 * MINUTE_MS)
        await tick_commands(topics, 4 * MINUTE_MS)
        await topics.until(lambda: len(topics.lines()) == 2)
        assert topics.lines() == ["org-1 e1 1", "org-1 e2 11"]  # 1 + 1 × 10: the command came first


async def tick_commands(topics: Cluster, at_ms: int) -> None:
    settings = topics.settings
    async with AIOKafkaProducer(**settings.kafka) as producer:
        await write_ticks(producer, [settings.inputs["commands"]], PARTITIONS, at_ms * 1_000)


async def test_forwards_after_the_last_tick_are_processed_with_their_first_arrival(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    async with cluster(replaying(kafka, topic_prefix)) as topics:
        for i in range(40):
            await topics.send([f"org-{i} e{i} 1"], partition=0, at_ms=i * MINUTE_MS)
        await tick(topics, END_MS)
        async with running(topics.settings):
            await topics.settle()
        assert len(topics.lines()) == 40


async def test_where_nothing_new_comes_quiet_moments_write_nothing(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    quiet_moments: Counter[int] = Counter()

    class Counting(Toy):
        def idle(self, now_micros: int) -> Effects:
            quiet_moments[self.partition] += 1
            return super().idle(now_micros)

    async def idle_five_times() -> None:
        quiet_moments.clear()
        await until(lambda: all(quiet_moments[number] >= 5 for number in range(PARTITIONS)))
        await topics.catch_up()

    async with cluster(replaying(kafka, topic_prefix)) as topics:
        await send_usage(topics)
        await tick(topics, END_MS)
        async with running(topics.settings, machine=Counting):
            await closed_to_the_end(topics)
            await idle_five_times()
            written = [len(topics.journal(number)) for number in range(PARTITIONS)]
            await idle_five_times()
        async with running(topics.settings, machine=Counting):  # nor does another claim
            await idle_five_times()
        topics.check()
        assert [len(topics.journal(number)) for number in range(PARTITIONS)] == written
        assert [topics.clocks(number)[-1] for number in range(PARTITIONS)] == [END_MS * 1_000] * PARTITIONS
