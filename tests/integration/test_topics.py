"""Topics on a real Kafka: made from their table, checked against it; records placed and timed as the ledger expects."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner

from pipeline import topics_admin
from pipeline.cli import main
from pipeline.demo.reading import read_topics
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import is_tick
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LOG_ID, TOPICS, USAGE_EVENTS
from pipeline.topics_admin import TopicsWrong, check_topics, create_topics
from schemas.instants import parse_instant

pytestmark = pytest.mark.kafka

LOGS = Path(__file__).parents[2] / "examples" / "claude_code"
NOON = parse_instant("2026-02-10T12:00:00Z")


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> Settings:
    return Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, mode="replay")


def changed(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update=changes)


async def delete(settings: Settings, *names: str) -> None:
    """Delete topics and wait until the broker tells of them no more."""
    gone = {settings.topic_prefix + name for name in names}
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.delete_topics(list(gone))
        while gone & set(await admin.list_topics()):
            pass
    finally:
        await admin.close()


async def test_topics_are_made_once_and_keep_their_log_id(settings: Settings) -> None:
    first = await create_topics(settings)
    assert first.created == tuple(topic.name for topic in TOPICS)
    second = await create_topics(settings)
    assert second.created == ()
    assert second.log_id == first.log_id == await check_topics(settings)


async def test_inputs_made_anew_are_another_log(settings: Settings) -> None:
    first = await create_topics(settings)
    await delete(settings, USAGE_EVENTS.name)
    second = await create_topics(settings)
    assert second.created == (USAGE_EVENTS.name,)
    assert second.log_id != first.log_id


async def test_all_who_make_the_topics_at_once_find_the_same_log(settings: Settings) -> None:
    made = await asyncio.gather(*(create_topics(settings) for _ in range(4)))
    assert {one.log_id for one in made} == {await check_topics(settings)}


async def test_all_who_make_the_inputs_anew_at_once_find_the_same_new_log(settings: Settings) -> None:
    before = await create_topics(settings)
    await delete(settings, USAGE_EVENTS.name)
    made = await asyncio.gather(*(create_topics(settings) for _ in range(4)))
    assert {one.log_id for one in made} == {await check_topics(settings)}
    assert made[0].log_id != before.log_id


async def test_the_first_log_id_counts_whoever_writes_another(settings: Settings) -> None:
    first = await create_topics(settings)
    producer = AIOKafkaProducer(**settings.kafka())
    await producer.start()
    for key in (b"00000000000000ff", b"clock"):
        await producer.send_and_wait(settings.topic_prefix + LOG_ID.name, b"00000000000000ff", key, partition=0)
    await producer.stop()
    assert await check_topics(settings) == first.log_id == (await create_topics(settings)).log_id


async def test_inputs_made_anew_by_a_run_that_died_are_another_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await create_topics(settings)
    await delete(settings, USAGE_EVENTS.name)

    async def dies(*_arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(topics_admin, "_check", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await create_topics(settings)
    with pytest.raises(TopicsWrong, match="holds no log id"):
        await check_topics(settings)
    assert (await create_topics(settings)).log_id != first.log_id


async def test_a_topic_of_another_kind_does_not_make_another_log(settings: Settings) -> None:
    first = await create_topics(settings)
    await delete(settings, "dead-letters")
    second = await create_topics(settings)
    assert second.created == ("dead-letters",)
    assert second.log_id == first.log_id


async def test_missing_topics_are_named(settings: Settings) -> None:
    await create_topics(settings)
    await delete(settings, "seen-ids", "dead-letters")
    prefix = settings.topic_prefix
    with pytest.raises(TopicsWrong, match=f"missing topics: {prefix}dead-letters, {prefix}seen-ids; run `usage-cred"):
        await check_topics(settings)


async def test_another_number_of_partitions_is_refused(settings: Settings) -> None:
    await create_topics(settings)
    with pytest.raises(TopicsWrong, match=r"than PARTITIONS=5: .*usage-events \(4\)"):
        await create_topics(changed(settings, partitions=5))


async def test_another_mode_is_refused(settings: Settings) -> None:
    await create_topics(settings)
    with pytest.raises(TopicsWrong, match=r"not made for MODE=live: .*usage-events"):
        await check_topics(changed(settings, mode="live"))


async def test_a_lost_log_id_is_said_and_made_again(settings: Settings) -> None:
    await create_topics(settings)
    await delete(settings, LOG_ID.name)
    with pytest.raises(TopicsWrong, match="log-id"):
        await check_topics(settings)
    assert (await create_topics(settings)).log_id == await check_topics(settings)


async def test_records_lie_in_their_keys_partition_at_their_times_and_ticks_behind_them(settings: Settings) -> None:
    await create_topics(settings)
    keys = [f"org-{number}".encode() for number in range(20)]
    records = [Outgoing(USAGE_EVENTS.name, key, b"{}", NOON + 1_000_000 * n) for n, key in enumerate(keys)]
    astray = Outgoing(USAGE_EVENTS.name, None, b"{}", NOON + 30_000_000, partition=2)
    assert await publish(settings, [*records, astray], ticks_at_micros=NOON + 60_000_000) == 21
    found = await read_topics(settings, [USAGE_EVENTS, ACCOUNT_COMMANDS])
    usage = [record for record in found[USAGE_EVENTS.name] if not is_tick(record)]
    assert {(r.key, r.timestamp) for r in usage} == {(r.key, r.arrival_micros // 1_000) for r in [*records, astray]}
    for record in usage:
        assert record.partition == (2 if record.key is None else partition_of(record.key, settings.partitions))
    for topic in (USAGE_EVENTS, ACCOUNT_COMMANDS):
        last = {record.partition: record for record in found[topic.name]}
        assert set(last) == set(range(settings.partitions))
        assert all(is_tick(record) and record.timestamp == NOON // 1_000 + 60_000 for record in last.values())


def test_import_sends_every_request_and_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kafka_bootstrap_servers", "topic_prefix", "mode"):
        monkeypatch.setenv(name.upper(), getattr(settings, name))
    made = CliRunner().invoke(main, ["topics", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["mode"] == "replay"
    imported = CliRunner().invoke(main, ["import", "claude-code", str(LOGS), "--json"])
    assert imported.exit_code == 0, imported.output
    assert json.loads(imported.stdout) == {"records": 1782, "sent": 882, "sent_before": 0, "skipped": {}}


async def test_an_empty_topic_is_read_as_such(settings: Settings) -> None:
    await create_topics(settings)
    assert await read_topics(settings, [USAGE_EVENTS]) == {USAGE_EVENTS.name: []}
