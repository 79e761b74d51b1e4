"""`usage-credits status` and `doctor`, on parts that run, that do not, and that are not as they should be."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.operators import looking
from pipeline.operators.checks import Finding, configuration, findings
from pipeline.operators.looking import look
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from schemas.instants import format_instant
from tests.support.gate_world import GateWorld
from tests.support.secured_world import run

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def told(settings: Settings, *command: str) -> Any:
    """(exit code, document) of a command with --json."""
    ended = await asyncio.to_thread(run, settings, *command, "--json")
    assert not ended.stderr, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.fixture
def settings(kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=topic_prefix.removesuffix("."),
        topic_prefix=topic_prefix,
        partitions=2,
        data_dir=tmp_path,
        gate_port=1,
        gate_dev_tokens=True,
    )


async def test_status_of_a_system_that_runs(gate: GateWorld) -> None:
    async with asyncio.timeout(60):
        while (answer := await told(gate.settings, "status"))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # the sink is still on its way into its group; only asking tells
    code, status = answer
    assert (code, status["is_well"]) == (0, True), status
    assert status["workers"] == {"ledger": 1, "sink": 1}
    assert (status["gate"], status["clickhouse"]) == ("ready", "ready")
    assert status["staleness_seconds"] < 30
    assert [one["partition"] for one in status["partitions"]] == [0, 1]
    # Three organisations of an owner, an admin and a member, or more where other tests added some.
    assert status["members"] >= 9
    assert sum(status["paused"].values()) <= status["members"]


async def test_status_tells_people_the_last_proof_of_this_machine(gate: GateWorld) -> None:
    proved = await asyncio.to_thread(run, gate.settings, "prove")
    assert proved.returncode == 0, proved.stdout + proved.stderr
    shown = await asyncio.to_thread(run, gate.settings, "status", "--quick")
    assert shown.returncode == 0, shown.stdout
    assert "sums agree" in shown.stdout
    assert "✓ 1 in the group" in shown.stdout
    assert "Members" not in shown.stdout


async def test_status_of_topics_that_nobody_works_on(settings: Settings) -> None:
    await create_topics(settings)
    code, status = await told(settings, "status")
    assert (code, status["is_well"]) == (1, False)
    assert status["workers"] == {"ledger": 0, "sink": 0}
    assert status["gate"].startswith("no answer from http://127.0.0.1:1")
    assert "does not exist" in status["clickhouse"]
    assert {one["as_of"] for one in status["partitions"]} == {None}
    assert (status["members"], status["paused"], status["proof"]) == (0, {}, None)


@asynccontextmanager
async def producing(settings: Settings, **arguments: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**settings.kafka(), **arguments)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_status_counts_what_a_sink_that_never_ran_has_to_store(settings: Settings) -> None:
    await create_topics(settings)
    async with producing(settings) as producer:
        for _ in range(3):
            await producer.send_and_wait(settings.topic_prefix + "priced-usage", b"{}", partition=1)
    _, status = await told(settings, "status", "--quick")
    # The last of them is taken for a marker.
    assert [one["sink_lag"] for one in status["partitions"]] == [0, 2]


async def test_status_names_a_transaction_that_hangs_in_an_input(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_topics(settings)
    place = settings.topic_prefix + "usage-events"
    async with producing(settings, transactional_id=settings.topic_prefix + "somebody") as producer:
        await producer.begin_transaction()
        first = await producer.send_and_wait(place, b"{}", partition=1)
        await producer.send_and_wait(place, b"{}", partition=1)
        monkeypatch.setattr(looking, "_HANGS_SECONDS", 3_600.0)
        assert (await look(settings, with_members=False)).hanging == []  # it may be one that is about to end
        monkeypatch.setattr(looking, "_HANGS_SECONDS", 0.0)
        status = await look(settings, with_members=False)
        since = format_instant(first.timestamp * 1_000)
        assert status.json()["hanging"] == [{"topic": place, "partition": 1, "offset": 0, "records": 2, "since": since}]
        assert str(status.hanging[0]).startswith(
            f"{place}[1] from offset 0: 2 records wait behind a transaction that is open since {since}"
        )
        await producer.abort_transaction()
    assert (await look(settings, with_members=False)).hanging == []


async def test_status_without_kafka_is_one_sentence(settings: Settings) -> None:
    away = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    ended = await asyncio.to_thread(run, away, "status")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: no Kafka at 127.0.0.1:1 (KAFKA_BOOTSTRAP_SERVERS); start one")


async def test_doctor_finds_nothing_bad_where_all_is_well(gate: GateWorld) -> None:
    code, found = await told(gate.settings, "doctor")
    assert code == 0, found
    assert {one["area"] for one in found} == {
        "versions",
        "configuration",
        "disk",
        "Kafka",
        "permissions",
        "topics",
        "clocks",
        "ClickHouse",
    }
    assert [one for one in found if one["level"] != "good"] == []


async def looked(settings: Settings) -> list[Finding]:
    return [finding async for finding in findings(settings, "operator") if finding.level != "good"]


async def test_doctor_says_what_to_do_about_topics_and_tables_that_are_not_there(settings: Settings) -> None:
    topics, tables = await looked(settings)
    assert (topics.level, topics.area) == ("bad", "topics")
    assert "run `usage-credits topics`" in topics.found
    assert (tables.level, tables.area) == ("bad", "ClickHouse")
    assert "`usage-credits migrate`" in tables.to_do


async def test_doctor_says_where_a_topic_is_other_than_the_table(settings: Settings) -> None:
    await create_topics(settings)
    name = settings.topic_prefix + "priced-usage"
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})])
    await admin.close()
    found: list[Finding] = []
    async with asyncio.timeout(30):
        while not found:  # a broker learns of it a moment later
            found = [one for one in await looked(settings) if "retention.ms=1000" in one.found]
    (short,) = found
    assert (short.area, short.level) == ("topics", "warning")
    assert short.to_do == (
        f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config retention.ms=34560000000"
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"price_book_size": 10**9}, "this worker is older than the one before it: price_book_size"),
        ({"rules": 10**9}, "this worker is older than the one before it: rules"),
        ({"kind": "unheard of"}, "no line of a journal that this program knows"),
    ],
)
async def test_doctor_says_where_a_worker_of_this_program_would_not_start(
    settings: Settings, line: dict[str, Any], why: str
) -> None:
    await create_topics(settings)
    written = {"seq": 1, "kind": "chunk", "usage": [0, 1], "commands": [0, 0], "now_micros": 1, "quarantined": []}
    async with producing(settings) as producer:
        value = json.dumps(written | line).encode()
        await producer.send_and_wait(settings.topic_prefix + "ledger-journal", value, partition=1)
    (newer,) = [one for one in await looked(settings) if one.area == "versions"]
    assert newer.level == "bad"
    assert newer.found.startswith(f"partition 1: {why}")


async def test_doctor_says_who_is_away(settings: Settings) -> None:
    away = settings.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "clickhouse_url": "http://default@127.0.0.1:1"}
    )
    found = {one.area: one for one in await looked(away)}
    assert found["Kafka"].found.startswith("no Kafka at 127.0.0.1:1")
    assert "KAFKA_BOOTSTRAP_SERVERS" in found["Kafka"].to_do
    assert "CLICKHOUSE_URL" in found["ClickHouse"].to_do


async def test_doctor_warns_of_what_goes_in_the_clear(settings: Settings) -> None:
    open_to_all = settings.model_copy(
        update={"kafka_bootstrap_servers": "kafka.example:9092", "clickhouse_url": "http://a:secret@store.example:8123"}
    )
    found = [one for one in configuration(open_to_all) if one.level == "warning"]
    assert [one.found.split("=")[0] for one in found] == ["KAFKA_SECURITY_PROTOCOL", "CLICKHOUSE_URL"]
    assert "secret" not in str(found)
