"""`usage-credits dead-letters` on a real Kafka: each is given to the ledger again once, whatever happens (R16, R17)."""

import json

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.dead_letters.storm import PoisonAlarm, Threshold
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS, Topic
from pipeline.topics_admin import create_topics
from schemas.dead_letters import DeadLetter, Origin, Reason
from tests.support.builders import (
    NOON,
    Wire,
    add_member,
    as_json,
    event,
    later,
    micros,
    register,
    searches,
    set_credits,
)
from tests.support.dead_letter_desk import (
    answer_of,
    decisions_of,
    file_letters,
    file_some,
    ledger,
    letter,
    letters_of,
    now,
    redriven_records,
    rows_of,
    run,
    send_commands,
    send_usage,
    settled,
)
from tests.support.toy_engine import until

pytestmark = pytest.mark.kafka

PARTITIONS = 2
HOME = partition_of(b"acme", PARTITIONS)
ELSEWHERE = 1 - HOME
ACME = (register(), set_credits(), add_member())


@pytest.fixture
async def settings(kafka: EmbeddedKafka, topic_prefix: str) -> Settings:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=PARTITIONS
    )
    await create_topics(settings)
    return settings


def place(origin: Origin) -> tuple[str, int, int, int]:
    return origin.topic, origin.partition, origin.offset, origin.index


def by_event(letters: list[DeadLetter]) -> dict[str | None, DeadLetter]:
    return {one.event_id: one for one in letters}


# With the ledger.


async def test_usage_of_an_unknown_organisation_is_priced_once_it_is_registered_and_redriven(
    settings: Settings,
) -> None:
    at = now()
    alarm = PoisonAlarm(Threshold(percent=20, seconds=3_600, events=5))
    async with ledger(settings, alarm):
        await send_usage(settings, searches("plain", 1, occurred_at=at))
        await send_usage(settings, searches("astray", 2, occurred_at=at), partition=ELSEWHERE)
        others = searches("of-bob", 0, occurred_at=at, org_id="acme", user_id="bob")
        await send_usage(settings, [searches("in-array", 3, occurred_at=at), others])
        await settled(settings)
        first = by_event(await letters_of(settings))
        assert set(first) == {"plain", "astray", "in-array", "of-bob"}
        await until(lambda: alarm.is_storm)
        assert (alarm.events, alarm.rejected) == (5, {"unknown_organization": 4})  # one was read twice: forwarded
        await send_commands(settings, *ACME)
        await settled(settings)
        told = await answer_of(settings, "redrive", "--yes", "--by", "olga", "--why", "acme is a customer now")
        assert told == {"dry_run": False, "redriven": 4, "decided_before": 0, "held_back": []}
        again = await answer_of(settings, "redrive", "--reason", "unknown_organization", "--yes")
        assert again["redriven"] == 0
        await settled(settings)

    rows = {row.event_id: row for row in await rows_of(settings)}
    assert sorted(row.event_id for row in await rows_of(settings)) == ["astray", "in-array", "plain"]
    for name in ("plain", "astray", "in-array"):
        row = rows[name]
        assert row.arrived_at_micros == first[name].arrived_at_micros
        origin = (row.origin_topic, row.origin_partition, row.origin_offset, row.origin_index)
        assert origin == place(first[name].origin)
        assert row.input_partition == HOME
    assert first["astray"].origin.partition == ELSEWHERE

    listed = (await answer_of(settings, "list"))["dead_letters"]
    assert [one["reason"] for one in listed] == ["unknown_member", *["unknown_organization"] * 4]
    (again,) = (one for one in listed if one["reason"] == "unknown_member")  # bob, who was never added
    assert again["state"] == "open"
    (bobs,) = (one for one in listed if one["dead_letter_id"] == first["of-bob"].dead_letter_id)
    assert bobs["refused_again_as"] == again["dead_letter_id"] != bobs["dead_letter_id"]
    assert again["origin"] == bobs["origin"]
    assert again["arrived_at"] == bobs["arrived_at"]
    assert bobs["decision"].pop("at") > at
    assert bobs["decision"] == {"decision": "redriven", "by": "olga", "why": "acme is a customer now"}


async def test_in_replay_mode_it_goes_among_the_records_of_its_time(settings: Settings) -> None:
    replay = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}replay.", "mode": "replay"})
    await create_topics(replay)
    ticks_at = micros(later(NOON, days=1))
    async with ledger(replay):
        await publish(replay, [outgoing(USAGE_EVENTS, searches("e-1", 1), NOON)], ticks_at_micros=ticks_at)
        await settled(replay)
        registered = [outgoing(ACCOUNT_COMMANDS, wire, later(NOON, days=2)) for wire in ACME]
        await publish(replay, registered, ticks_at_micros=micros(later(NOON, days=3)))
        await settled(replay)
        assert (await answer_of(replay, "redrive", "--yes"))["redriven"] == 1
        await settled(replay)
    (row,) = await rows_of(replay)
    assert (row.event_id, row.arrived_at_micros) == ("e-1", micros(NOON))


def outgoing(topic: Topic, wire: Wire, at: str) -> Outgoing:
    return Outgoing(topic.name, b"acme", as_json(wire), micros(at))


async def test_a_whole_array_and_a_command_go_back_where_they_lay(settings: Settings) -> None:
    async with ledger(settings):
        await send_usage(settings, b"[{}", partition=ELSEWHERE)
        await send_commands(settings, *ACME)
        await settled(settings)
        command = letter(as_json(set_credits(command_id="later")), 9, topic=ACCOUNT_COMMANDS.name, org_id=None)
        await file_letters(settings, [command])
        assert (await answer_of(settings, "redrive", "--yes"))["redriven"] == 2
        await settled(settings)
    (record,) = await redriven_records(settings, ACCOUNT_COMMANDS.name)
    assert dict(record.headers)["usage-credits.origin"] == b"account-commands/0/9/0"
    first, again = (one for one in await letters_of(settings) if one.reason is Reason.MALFORMED)
    assert (first.payload, first.origin, first.sha256) == (again.payload, again.origin, again.sha256)
    assert first.dead_letter_id != again.dead_letter_id
    assert again.origin.partition == ELSEWHERE


# Without: letters that lie there, and what is written for them.


async def test_what_a_letter_does_not_hold_is_read_at_the_origin(settings: Settings) -> None:
    large = as_json([event("large", occurred_at=now(), output_token="x" * 200_000), event("small")])
    async with ledger(settings):
        await send_commands(settings, *ACME)
        await send_usage(settings, *[large] * 2, partition=HOME)
        await settled(settings)
    first, second = (one for one in await letters_of(settings) if one.event_id == "large")
    assert first.length_bytes > 200_000
    await delete_until(settings, HOME, second.origin.offset)
    told = await answer_of(settings, "redrive", "--yes", "--reason", "unknown_field", exit_code=1)
    assert told["redriven"] == 1
    (held_back,) = told["held_back"]
    assert held_back["dead_letter_id"] == first.dead_letter_id
    assert f"usage-events[{HOME}] offset {first.origin.offset} is gone" in held_back["why"]
    (record,) = await redriven_records(settings)
    assert json.loads(record.value)["event_id"] == "large"
    assert len(record.value) == second.length_bytes


async def delete_until(settings: Settings, partition: int, offset: int) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        inputs = TopicPartition(f"{settings.topic_prefix}usage-events", partition)
        await admin.delete_records({inputs: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def test_another_record_at_the_origin_is_not_taken_for_it(settings: Settings) -> None:
    await send_usage(settings, b"x" * 70_000, b"x" * 70_001, partition=0)
    one = letter(b"y" * 70_000, 0)
    beyond = letter(b"x" * 70_000, 5)
    no_partition = Origin(topic="usage-events", partition=PARTITIONS, offset=0, index=0)
    nowhere = letter(b"x" * 70_000, 1, dead_letter_id="nowhere", origin=no_partition)
    right = letter(b"x" * 70_000, 0, dead_letter_id="right")
    await file_letters(settings, [one, beyond, nowhere, right])
    told = await answer_of(settings, "redrive", "--yes", exit_code=1)
    why = {one["dead_letter_id"]: one["why"] for one in told["held_back"]}
    assert "something else by length or SHA-256" in why[one.dead_letter_id]
    assert "is gone" in why[beyond.dead_letter_id]
    assert "usage-events[2] offset 0 is gone" in why["nowhere"]
    assert told["redriven"] == 1


async def test_discarded_is_for_good_and_has_its_reason(settings: Settings) -> None:
    first, second = await file_some(settings, 2)
    told = await answer_of(
        settings, "discard", "--id", first.dead_letter_id, "--why", "a test", "--by", "olga", "--yes"
    )
    assert told == {"dry_run": False, "discarded": 1, "decided_before": 0, "held_back": []}
    again = await answer_of(settings, "redrive", "--id", first.dead_letter_id, "--yes")
    assert again == {"dry_run": False, "redriven": 0, "decided_before": 1, "held_back": []}
    assert await redriven_records(settings) == []
    states = {one["dead_letter_id"]: one["state"] for one in (await answer_of(settings, "list"))["dead_letters"]}
    assert states == {first.dead_letter_id: "discarded", second.dead_letter_id: "open"}
    (still_open,) = (await answer_of(settings, "list", "--open"))["dead_letters"]
    assert still_open["dead_letter_id"] == second.dead_letter_id
    shown = (await run(settings, "show", first.dead_letter_id)).output
    assert "by olga: a test" in shown


async def test_it_asks_first_and_a_dry_run_writes_nothing(settings: Settings) -> None:
    await file_some(settings, 3)
    assert (await answer_of(settings, "redrive", "--dry-run"))["redriven"] == 3
    refused = await run(settings, "redrive", stdin="n\n")
    assert refused.exit_code == 1
    assert "3 dead letters (unknown_organization 3) are to be redriven. Go on?" in refused.output
    assert "nothing was redriven" in refused.output
    assert await redriven_records(settings) == await decisions_of(settings) == []
    agreed = await run(settings, "redrive", "--limit", "2", stdin="y\n")
    assert agreed.exit_code == 0, agreed.output
    assert len(await decisions_of(settings)) == 2


async def test_wrong_words_are_told(settings: Settings) -> None:
    assert "no reason nonsense; there are malformed" in (await run(settings, "list", "--reason", "nonsense")).output
    assert "write an instant such as" in (await run(settings, "list", "--since", "yesterday")).output
    missing = await run(settings, "redrive", "--id", "nobody", "--yes")
    assert (missing.exit_code, "no such dead letter: nobody" in missing.output) == (1, True)
    assert (await run(settings, "discard", "--yes")).exit_code == 2
