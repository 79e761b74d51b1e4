"""The engine with its identities on disk: what it reads again, and what it does about a folder that is not its own."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.disk_identities import DiskIdentities, store
from pipeline.engine.partitioning import partition_of
from pipeline.engine.settings import EngineSettings
from tests.support.engine_cluster import PARTITIONS, Cluster, cluster, engine_settings
from tests.support.toy_engine import Noted, running, until

pytestmark = pytest.mark.kafka

NUMBER = partition_of(b"org-1", PARTITIONS)


@pytest.fixture
def settings(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> EngineSettings:
    monkeypatch.setattr(store, "SEAL_ADDS", 1)  # each transaction's identities go to disk
    return engine_settings(kafka.bootstrap_servers, topic_prefix, session_timeout_seconds=3.0, identities_dir=tmp_path)


def events(numbers: Iterable[int]) -> list[str]:
    return [f"org-1 e{number} 1" for number in numbers]


def folder_of(settings: EngineSettings) -> Path:
    assert settings.identities_dir is not None
    (folder,) = settings.identities_dir.glob(f"*/{settings.topic('seen-ids')}-{NUMBER}")
    return folder


async def taken(topics: Cluster, settings: EngineSettings, numbers: Iterable[int]) -> int:
    """How many of these events a worker takes for new."""
    before = len(topics.lines())
    await topics.send(events(numbers))
    async with running(settings):
        await topics.settle()
    return len(topics.lines()) - before


async def test_what_the_folder_holds_is_not_read_again(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        for start in range(0, 40, 10):
            assert await taken(topics, settings, range(start, start + 10)) == 10
        opened = await asyncio.to_thread(DiskIdentities, folder_of(settings), settings.horizon_days)
        position = opened.position
        opened.close()
        seen = TopicPartition(settings.topic("seen-ids"), NUMBER)
        admin = AIOKafkaAdminClient(**settings.kafka)
        await admin.start()
        await admin.delete_records({seen: RecordsToDelete(position - 1)})
        await admin.close()
        assert position > 3
        assert await taken(topics, settings, range(50)) == 10


async def test_a_folder_filled_from_another_log_is_begun_anew(settings: EngineSettings, kafka: EmbeddedKafka) -> None:
    """What that log held is no duplicate here; so it would be if Kafka were restored from an older backup."""
    shorter, longer = (
        engine_settings(kafka.bootstrap_servers, f"{length}-{settings.prefix}", identities_dir=settings.identities_dir)
        for length in ("shorter", "longer")
    )
    async with cluster(settings) as topics:
        for start in range(0, 40, 10):
            await taken(topics, settings, range(start, start + 10))
    foreign = folder_of(settings)
    async with cluster(shorter) as topics:
        foreign.rename(foreign.parent / f"{shorter.topic('seen-ids')}-{NUMBER}")
        assert await taken(topics, shorter, range(20)) == 20
        assert await taken(topics, shorter, range(20)) == 0
    foreign = folder_of(shorter)
    async with cluster(longer) as topics:
        for start in range(100, 150, 10):
            await taken(topics, longer, range(start, start + 10))
        own = folder_of(longer)
        own.rename(own.with_name("aside"))
        foreign.rename(own)
        assert await taken(topics, longer, [*range(20), *range(100, 150)]) == 20


async def test_a_damaged_folder_halts_its_partition_and_says_what_to_do(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        for start in range(0, 20, 10):
            await taken(topics, settings, range(start, start + 10))
        folder = folder_of(settings)
        for file in folder.glob("*.ids"):
            data = bytearray(file.read_bytes())
            data[100] ^= 1
            file.write_bytes(data)
        await topics.send(events(range(20)))
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert list(noted.halts) == [NUMBER]
        assert f"remove the folder {folder} and start the worker again" in str(noted.halts[NUMBER])
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        assert await taken(topics, settings, range(20)) == 0


async def test_a_folder_that_another_process_holds_is_waited_for(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        await taken(topics, settings, range(10))
        folder = folder_of(settings)
        other = await asyncio.to_thread(DiskIdentities, folder, settings.horizon_days)
        await topics.send(events(range(20)))
        async with running(settings, noted):
            await until(lambda: bool(noted.failures))
            other.close()
            await topics.settle()
        assert str(noted.failures[0]).startswith(f"{folder} is in use by another process; end that worker")
        assert len(topics.lines()) == 20
