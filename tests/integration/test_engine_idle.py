"""Quiet moments on a real Kafka: the toy publishes its clock in them (R33); a partition with work to do has none."""

from itertools import pairwise

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.engine.settings import EngineSettings
from tests.support.engine_cluster import PARTITIONS, cluster, engine_settings
from tests.support.toy_engine import Noted, running

pytestmark = pytest.mark.kafka

# It is about a second; a machine that runs tests may be slow.
PATIENT_MICROS = 10_000_000


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> EngineSettings:
    usual = EngineSettings(kafka={})
    return engine_settings(
        kafka.bootstrap_servers,
        topic_prefix,
        drained_check_seconds=usual.drained_check_seconds,
        idle_wait_seconds=usual.idle_wait_seconds,
    )


async def test_an_idle_partition_publishes_a_rising_clock_every_second_or_so(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        async with running(settings):
            await topics.until(lambda: all(len(topics.clocks(number)) >= 6 for number in range(PARTITIONS)))
        await topics.catch_up()
        for number in range(PARTITIONS):
            clocks = topics.clocks(number)
            assert all(0 < later - earlier < PATIENT_MICROS for earlier, later in pairwise(clocks))
            assert [(entry["kind"], entry["now_micros"]) for entry in topics.journal(number)] == [
                ("idle", clock) for clock in clocks
            ]


async def test_the_clock_passes_what_has_been_applied_and_goes_on_after_a_restart(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        for round_ in range(2):
            async with running(settings):
                await topics.send(f"org-{i} e{round_}-{i} 1" for i in range(40))
                await topics.settle()
                for number in range(PARTITIONS):
                    arrived_micros = topics.of("usage-events", number)[-1].timestamp * 1_000
                    await topics.until(lambda: topics.clocks(number)[-1:] > [arrived_micros])  # noqa: B023
            await topics.catch_up()
        topics.check()
        assert len(topics.lines()) == 80


async def test_the_chunks_of_a_busy_partition_are_neither_cut_nor_interrupted(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    # It would be asked for its clock without end, were there a moment in which it has nothing to do.
    settings = engine_settings(kafka.bootstrap_servers, topic_prefix, idle_seconds=0.0)
    noted = Noted()
    busy = partition_of(b"org-1", PARTITIONS)
    async with cluster(settings) as topics:
        await topics.send(f"org-1 e{i} 1" for i in range(400))
        async with running(settings, noted, most_records=20, slow_seconds=0.02):
            await topics.settle()
            await topics.until(lambda: topics.journal(busy)[-1]["kind"] == "idle")
        kinds = "".join(entry["kind"][0] for entry in topics.journal(busy))
        assert kinds.strip("i") == "c" * 20
        assert [commit.records for commit in noted.commits if commit.partition == busy and commit.records] == [20] * 20
        topics.check()
