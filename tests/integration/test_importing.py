"""`usage-credits import` on a real Kafka: everything is sent once, and a run that was cut goes on where it stopped."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.importers import importing

pytestmark = pytest.mark.kafka

EVENTS = 7


@pytest.fixture
async def file(kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Topics of its own, and a file to import."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("PARTITIONS", "1")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setattr(importing, "BATCH_EVENTS", 3)
    assert (await run("topics")).exit_code == 0
    rows = [f"2026-09-14T10:00:0{second}Z,e-{second},claude-sonnet-4-6" for second in range(EVENTS)]
    (path := tmp_path / "requests.csv").write_text("\n".join(["occurred_at,event_id,model", *rows]))
    return path


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, list(arguments))


async def imported(file: Path, *arguments: str) -> tuple[int, int]:
    """How many were sent now and before."""
    whose = ("--org-id", "acme", "--user-id", "ann", "--product", "chat")
    answer = json.loads((await run("import", "csv", str(file), *whose, "--json", *arguments)).stdout)
    return answer["sent"], answer["sent_before"]


async def ids(kafka: EmbeddedKafka, prefix: str) -> list[str]:
    """Of all events in Kafka."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        place = TopicPartition(prefix + "usage-events", 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found: list[str] = []
        while len(found) < end:
            found += [
                json.loads(record.value)["id"] for record in (await consumer.getmany(timeout_ms=1_000)).get(place, ())
            ]
        return found
    finally:
        await consumer.stop()


async def test_all_is_sent_once_and_again_when_asked(file: Path, kafka: EmbeddedKafka, topic_prefix: str) -> None:
    assert await imported(file) == (EVENTS, 0)
    assert await imported(file) == (0, EVENTS)
    assert await ids(kafka, topic_prefix) == [f"e-{number}" for number in range(EVENTS)]
    assert await imported(file, "--again") == (EVENTS, 0)


async def test_a_run_that_was_cut_goes_on_where_it_stopped(
    file: Path, kafka: EmbeddedKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second batch never comes to Kafka."""
    publish = importing.publish

    async def one_batch(*arguments: object, **named: object) -> int:
        monkeypatch.setattr(importing, "publish", cut)
        return await publish(*arguments, **named)  # type: ignore[arg-type]

    async def cut(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "publish", one_batch)
    whose = ("--org-id", "acme", "--user-id", "ann", "--product", "chat")
    assert (await run("import", "csv", str(file), *whose)).exit_code != 0
    monkeypatch.setattr(importing, "publish", publish)
    assert await imported(file) == (EVENTS - 3, 3)
    assert await ids(kafka, topic_prefix) == [f"e-{number}" for number in range(EVENTS)]
