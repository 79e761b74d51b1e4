"""The disk of a worker's identities is full: it says so, waits, and goes on when there is room; nothing is lost."""

import asyncio
import time
from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.publisher import publish
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from tests.chaos.full_disks import disk_at
from tests.chaos.load import load_of
from tests.support import undisturbed
from tests.support.ledger_cluster import PATIENCE_SECONDS, Worker, everything_at, worker

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

PARTITIONS = 2


async def says(running: Worker, words: str) -> None:
    """Wait until it does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in running.log.read_text():
        running.check()
        assert time.monotonic() < deadline, f"never said {words!r}:\n{running.last_words()}"
        await asyncio.sleep(0.05)


async def test_a_full_disk_is_told_and_waited_for(kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> None:
    load = load_of(seed=1, slices=2, partitions=PARTITIONS, length=200)
    with disk_at(tmp_path / "disk") as disk:
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            topic_prefix=topic_prefix,
            partitions=PARTITIONS,
            mode="replay",
            session_timeout_ms=1_000,
            data_dir=tmp_path,
            identities_dir=disk.directory / "identities",
        )
        await create_topics(settings)
        with worker(settings) as running:
            await publish(settings, load.slices[0].records, ticks_at_micros=load.slices[0].until_micros)
            await says(running, "claimed, 0 cells restored")
            disk.fill()
            await publish(settings, load.slices[1].records, ticks_at_micros=load.ends_micros)
            await says(running, f"identities cannot be written in {disk.directory}")
            await says(running, f"{disk.refusal}. Make room there")
            disk.make_room()
            written = await everything_at(load.ends_micros, settings, running)
            assert "Traceback" not in running.log.read_text()
    undisturbed.compare(written, load.as_it_lies(PARTITIONS), PARTITIONS, load.ends_micros)
