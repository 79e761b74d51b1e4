"""`usage-credits prove --every` while Kafka, then ClickHouse, is away: it says so, waits, and goes on."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.demo.system import environment
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
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


def test_a_proof_every_second_outlasts_kafka_and_clickhouse(server_dir: Path, tmp_path: Path) -> None:
    kafka, clickhouse = EmbeddedKafka(server_dir / "kafka-proved"), EmbeddedClickHouse(server_dir / "clickhouse-proved")
    log = tmp_path / "prove.log"
    with kafka, clickhouse, log.open("wb") as output:
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, clickhouse_url=clickhouse.url, partitions=1
        )
        asyncio.run(create_topics(settings))
        command = [sys.executable, "-m", "pipeline.cli", "prove", "--json", "--every", "1", "--wait", "1"]
        proving = subprocess.Popen(
            command,
            env=environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_hears_ctrl_c,
        )
        try:
            proofs, waits = wait_for(log, '"agrees"', 0), 0
            for server in (kafka, clickhouse):
                server.kill()
                waits = wait_for(log, "trying again in", waits)
                server.start()
                proofs = wait_for(log, '"agrees"', proofs)
            proving.send_signal(signal.SIGINT)
            assert proving.wait(PATIENCE_SECONDS) == 0
        finally:
            proving.kill()
            proving.wait()
