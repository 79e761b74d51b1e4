"""`usage-credits prove --every` while Kafka or ClickHouse is away, or a transaction hangs: it says so, and goes on."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.demo.system import environment
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
from pipeline.topics import LEDGER_ENTRIES
from pipeline.topics_admin import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.faults]

PATIENCE_SECONDS = 90.0


def wait_for(log: Path, words: str, more_than: int) -> int:
    """Until the log has these words more often than that; how often."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (times := log.read_text().count(words)) <= more_than:
        assert time.monotonic() < deadline, f"never said {words!r}:\n{log.read_text()[-3_000:]}"
        time.sleep(0.1)
    return times


def _hears_ctrl_c() -> None:
    """Also where the tests run in the background, whose processes do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def proving(settings: Settings, log: Path) -> Iterator[None]:
    """`usage-credits prove` every second, ended by Ctrl-C; for a moment of stillness it waits a second."""
    program = "from pipeline import cli, reading; reading._STILL_SECONDS = 1.0; cli.main()"
    command = [sys.executable, "-c", program, "prove", "--json", "--every", "1", "--wait", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(settings), stdout=output, stderr=subprocess.STDOUT, preexec_fn=_hears_ctrl_c
        )
        try:
            yield
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
            process.wait()


def test_a_proof_every_second_outlasts_kafka_and_clickhouse(server_dir: Path, tmp_path: Path) -> None:
    kafka, clickhouse = EmbeddedKafka(server_dir / "kafka-proved"), EmbeddedClickHouse(server_dir / "clickhouse-proved")
    log = tmp_path / "prove.log"
    with kafka, clickhouse:
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, clickhouse_url=clickhouse.url, partitions=1
        )
        asyncio.run(create_topics(settings))
        with proving(settings, log):
            proofs, waits = wait_for(log, '"agrees"', 0), 0
            for server in (kafka, clickhouse):
                server.kill()
                waits = wait_for(log, "trying again in", waits)
                server.start()
                proofs = wait_for(log, '"agrees"', proofs)


async def test_a_proof_every_second_outlasts_a_transaction_that_hangs(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        topic_prefix=topic_prefix,
        partitions=1,
    )
    log = tmp_path / "prove.log"
    await create_topics(settings)
    producer = AIOKafkaProducer(**settings.kafka(), transactional_id=topic_prefix + "hangs")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic_prefix + LEDGER_ENTRIES.name, b"{}", partition=0)
    with proving(settings, log):
        await asyncio.to_thread(wait_for, log, "no moment without an open transaction", 1)
        assert '"agrees"' not in log.read_text()
        await producer.abort_transaction()
        await asyncio.to_thread(wait_for, log, '"agrees"', 0)
    await producer.stop()
