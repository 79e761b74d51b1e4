"""Workers are killed, stopped, ended, and their broker too; what comes out is exactly a plain recomputation (R43)."""

import re
import signal
from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.settings import EngineSettings
from tests.support.engine_cluster import Cluster, cluster, engine_settings
from tests.support.toy_workers import toy_workers

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

# Small chunks, held up a little: a fault finds a worker in the middle of many.
SLOW = {"most_records": 20, "slow_seconds": 0.01}


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> EngineSettings:
    return engine_settings(kafka.bootstrap_servers, topic_prefix, session_timeout_seconds=3.0)


def events(count: int, start: int = 0) -> list[str]:
    return [f"org-{i % 40} e{i} {i % 7}" for i in range(start, start + count)]


async def send_some(topics: Cluster, count: int = 3_000) -> None:
    """Usage, a tenth of it in the wrong partition, and commands in between."""
    for start in range(0, count, 500):
        await topics.send(events(450, start))
        await topics.send(events(50, start + 450), partition=1)
        await topics.send([f"org-{i} {start % 5 + 1}" for i in range(40)], "account-commands")


async def test_two_workers_share_the_partitions(settings: EngineSettings, tmp_path: Path) -> None:
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            first = workers.start(toy=SLOW)
            await topics.until(lambda: len(topics.lines()) > 200)
            second = workers.start(toy=SLOW)
            await second.says("claimed", times=2)
            await first.says("claimed", times=4 + 2)
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 3_000


async def test_a_worker_killed_in_mid_transaction_leaves_nothing_half_done(
    settings: EngineSettings, tmp_path: Path
) -> None:
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            workers.start(toy=SLOW)
            victims = [workers.start(toy=SLOW, fault={"transaction": n, "name": "SIGKILL"}) for n in (1, 5, 30)]
            for victim in victims:
                assert await victim.ended() == -signal.SIGKILL
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 3_000


async def test_workers_killed_at_any_moment_leave_nothing_half_done(settings: EngineSettings, tmp_path: Path) -> None:
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            for lines in (300, 1_200, 2_000):
                victim = workers.start(toy=SLOW)
                await topics.until(lambda: len(topics.lines()) > lines)  # noqa: B023
                victim.signal(signal.SIGKILL)
                await victim.ended()
            workers.start()
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 3_000


async def test_the_late_commit_of_a_worker_that_was_stopped_past_its_session_is_refused(
    settings: EngineSettings, tmp_path: Path
) -> None:
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            zombie = workers.start(toy=SLOW, fault={"transaction": 20, "name": "SIGSTOP"})
            await zombie.says("claimed", times=4)
            heir = workers.start()
            await topics.settle()  # all of it, so the heir has claimed what the zombie holds in mid-transaction
            assert len(topics.lines()) == 3_000
            zombie.signal(signal.SIGCONT)
            await zombie.says("transaction failed")
            await topics.send(events(500, 3_000))
            await topics.settle()
            assert heir.process.poll() is None
            assert zombie.process.poll() is None
        topics.check()
        assert len(topics.lines()) == 3_500


async def test_a_broker_killed_and_started_again_costs_time_and_nothing_else(
    server_dir: Path, topic_prefix: str, tmp_path: Path
) -> None:
    with EmbeddedKafka(server_dir / "kafka-that-dies") as broker:
        settings = engine_settings(broker.bootstrap_servers, topic_prefix, session_timeout_seconds=3.0)
        async with cluster(settings) as topics:
            with toy_workers(settings, tmp_path) as workers:
                await send_some(topics)
                worker = workers.start(toy=SLOW)
                await worker.says("claimed", times=4)  # without a broker, a late one would be waited for in vain
                await topics.until(lambda: len(topics.lines()) > 300)
                broker.kill()
                broker.start()
                await topics.settle()
                assert worker.process.poll() is None
            topics.check()
            assert len(topics.lines()) == 3_000


async def test_a_worker_told_to_end_finishes_its_transactions_and_leaves_the_group(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    # With a session this long, the second worker gets the partitions in time only if the first one left the group.
    settings = engine_settings(kafka.bootstrap_servers, topic_prefix, session_timeout_seconds=300.0)
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            first = workers.start(toy=SLOW)
            await topics.until(lambda: len(topics.lines()) > 300)
            first.signal(signal.SIGTERM)
            assert await first.ended() == 0
            assert "transaction failed" not in first.log.read_text()
            workers.start()
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 3_000


@pytest.mark.parametrize("off_seconds", [-3_600, 3_600])
async def test_a_worker_whose_clock_is_an_hour_off_ends_and_has_written_nothing(
    settings: EngineSettings, tmp_path: Path, off_seconds: int
) -> None:
    async with cluster(settings) as topics:
        with toy_workers(settings, tmp_path) as workers:
            await send_some(topics)
            wrong = workers.start(toy=SLOW, clock_off_seconds=off_seconds)
            assert await wrong.ended() == 1
            said = re.search(r"this machine's clock is ([+-][\d.]+) s off the broker's", wrong.log.read_text())
            assert said is not None
            assert float(said[1]) == pytest.approx(off_seconds, abs=5)
            await topics.catch_up()
            assert topics.lines() == []
            workers.start()
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 3_000


async def test_a_worker_without_its_topics_ends_with_a_sentence_and_no_stack_trace(
    settings: EngineSettings, tmp_path: Path
) -> None:
    with toy_workers(settings, tmp_path) as workers:
        worker = workers.start()
        assert await worker.ended() == 1
        said = worker.log.read_text()
    assert "topics are missing: " in said
    assert "Traceback" not in said
