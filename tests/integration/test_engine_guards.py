"""What the engine refuses, waits for, or stops at: fences, open transactions, wrong topics, an absent broker."""

import asyncio
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.engine.contract import Chunk, Effects
from pipeline.engine.engine import Engine
from pipeline.engine.identity import pack
from pipeline.engine.inputs import Inputs
from pipeline.engine.journal import EngineCell, encode_cell, encode_journal
from pipeline.engine.partition import Partition, WorkerFailed
from pipeline.engine.partitioning import partition_of
from pipeline.engine.preflight import Refused, cluster_when_ready
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import ClockRefused, Transactions, Write
from pipeline.engine.work import answer
from tests.support.engine_cluster import PARTITIONS, cluster, engine_settings, make_topics
from tests.support.toy_engine import Noted, running, until
from tests.support.toy_ledger import OUT, Toy

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> EngineSettings:
    return engine_settings(kafka.bootstrap_servers, topic_prefix)


def changed(settings: EngineSettings, **changes: Any) -> EngineSettings:
    return engine_settings(settings.brokers, settings.prefix, **changes)


async def test_a_claim_fences_whoever_held_the_partition(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        journal = TopicPartition(settings.topic("ledger-journal"), 0)
        old, new = Transactions(settings, 0), Transactions(settings, 0)
        try:
            await old.claim()
            await old.commit({journal: [Write(None, b'"old"')]}, None)
            await new.claim()
            with pytest.raises(KafkaError):
                await old.commit({journal: [Write(None, b'"late"')]}, None)
            await new.commit({journal: [Write(None, b'"new"')]}, None)
        finally:
            await old.close()
            await new.close()
        await topics.catch_up()
        assert topics.journal(0) == ["old", "new"]


async def test_a_claim_does_away_with_what_its_predecessor_left_open(settings: EngineSettings) -> None:
    """Else that transaction would hide later records of the partition until it timed out."""
    async with cluster(settings) as topics:
        journal = TopicPartition(settings.topic("ledger-journal"), 0)
        old, new = Transactions(settings, 0), Transactions(settings, 0)
        try:
            await old.claim()
            producer = old._producer
            await producer.begin_transaction()
            await producer.send_and_wait(journal.topic, b'"half done"', partition=0)
            await new.claim()
            await new.commit({journal: [Write(None, b'"new"')]}, None)
        finally:
            await old.close()
            await new.close()
        await topics.until(lambda: bool(topics.journal(0)))
        assert topics.journal(0) == ["new"]


async def test_a_partition_with_a_transaction_that_no_claim_ended_halts_before_it_writes(
    settings: EngineSettings,
) -> None:
    """Such a one is left by brokers that lose markers; the next commit of ours would bring its records to light."""
    async with cluster(settings) as topics:
        hanging = AIOKafkaProducer(**settings.kafka, transactional_id=f"{settings.prefix}not-ours")
        await hanging.start()
        noted = Noted()
        try:
            await hanging.begin_transaction()
            await hanging.send_and_wait(settings.topic(OUT), b"half done", partition=2)
            await topics.send([f"org-{i} e{i} 1" for i in range(40)])
            async with running(changed(settings, transaction_timeout_seconds=1.0), noted):
                await until(lambda: bool(noted.halts))
                await topics.until(lambda: all(topics.journal(number) for number in (0, 1, 3)))
            assert list(noted.halts) == [2]
            assert re.search(rf"{OUT}-2 from offset 0; .*operations", str(noted.halts[2]))
            assert topics.journal(2) == []
        finally:
            await hanging.stop()


async def test_a_transaction_against_a_clock_that_is_off_is_not_committed(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        # A tolerance below zero is one that no clock meets.
        strict = changed(settings, clock_tolerance_seconds=-1.0)
        transactions = Transactions(strict, 0)
        journal = TopicPartition(settings.topic("ledger-journal"), 0)
        try:
            await transactions.claim()
            with pytest.raises(ClockRefused):
                await transactions.commit({journal: [Write(None, b'"never"')]}, journal)
        finally:
            await transactions.close()
        await topics.catch_up()
        assert topics.journal(0) == []


async def test_a_clock_that_was_wrong_and_was_set_right_again_moves_no_ledger_time(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the commit it is right; an hour that has not been must not close a month all the same."""

    class Silent(Toy):
        """One that writes nothing in a quiet moment: time goes on in memory alone."""

        def idle(self, now_micros: int) -> Effects:
            return Effects()

    right, noted = time.time_ns, Noted()
    async with cluster(settings) as topics:
        engine = Engine(settings, lambda number, ids: Silent(number, ids, PARTITIONS), answer, observer=noted)
        working = asyncio.create_task(engine.run())
        try:
            ahead_micros = right() // 1_000 + 3_000 * 10**6
            monkeypatch.setattr(time, "time_ns", lambda: right() + 3_600 * 10**9)
            await until(lambda: is_beyond(engine, ahead_micros))
            monkeypatch.setattr(time, "time_ns", right)
            await topics.send(["org-1 e1 1"])
            await until(lambda: working.done() or bool(noted.commits))
        finally:
            await engine.stop()
        assert noted.commits == []
        with pytest.raises(ClockRefused, match=r"clock is \+\d+\.\d s off"):
            await working


def is_beyond(engine: Engine, micros: int) -> bool:
    """Whether the ledger time of all partitions is."""
    works = [partition._ownership for partition in engine.partitions.values()]
    return len(works) == PARTITIONS and all(work is not None and work.now_micros > micros for work in works)


async def test_a_record_hidden_by_an_open_transaction_is_not_taken_for_the_end(settings: EngineSettings) -> None:
    async with cluster(settings):
        reader = AIOKafkaConsumer(**settings.kafka, isolation_level="read_committed", auto_offset_reset="none")
        asker = AIOKafkaConsumer(**settings.kafka, isolation_level="read_uncommitted")
        gate = AIOKafkaProducer(**settings.kafka, transactional_id=f"{settings.prefix}gate")
        for client in (reader, asker, gate):
            await client.start()
        try:
            inputs = Inputs(changed(settings, drained_check_seconds=0.0), 0, reader, asker.end_offsets)
            await inputs.open(None)
            await inputs.check_drained()
            assert inputs.usage.floor_micros > 0  # empty to its end, and known to be
            before = inputs.commands.floor_micros
            await gate.begin_transaction()
            await gate.send_and_wait(settings.topic("account-commands"), b"hidden", partition=0)
            await inputs.fetch(0.2)
            await inputs.check_drained()
            assert inputs.usage.floor_micros > before
            assert inputs.commands.floor_micros == before
            await gate.commit_transaction()
            while not inputs.commands.records:
                await inputs.fetch(0.2)
            assert inputs.commands.records[0].value == b"hidden"
        finally:
            for client in (reader, asker, gate):
                await client.stop()


async def test_a_partition_that_comes_to_nothing_stops_the_worker(settings: EngineSettings) -> None:
    async def to_nobody(chunk: Chunk) -> None:
        """An agent that died."""

    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1"])
        engine = Engine(
            changed(settings, stuck_seconds=1.0), lambda number, ids: Toy(number, ids, PARTITIONS), to_nobody
        )
        try:
            with pytest.raises(WorkerFailed, match="has come to nothing for"):
                await engine.run()
        finally:
            await engine.stop()


async def test_failures_in_a_row_stop_the_worker(settings: EngineSettings) -> None:
    number = partition_of(b"org-1", PARTITIONS)
    noted = Noted()

    async def overtaken(chunk: Chunk) -> None:
        other = Transactions(settings, number)
        await other.claim()
        await other.close()
        await answer(chunk)

    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1"])
        engine = Engine(
            changed(settings, max_failures=2),
            lambda number, ids: Toy(number, ids, PARTITIONS),
            overtaken,
            observer=noted,
        )
        try:
            with pytest.raises(WorkerFailed, match="2 transactions failed in a row, the last with ProducerFenced"):
                await engine.run()
        finally:
            await engine.stop()
        assert len(noted.failures) == 2
        await topics.catch_up()
        assert topics.lines() == []


async def test_failures_with_commits_between_them_are_not_in_a_row_where_nothing_comes_either(
    settings: EngineSettings,
) -> None:
    """A partition without input commits its clock; over months even that fails now and then."""
    number, noted = 1, Noted()

    def commits() -> int:
        return sum(committed.partition == number for committed in noted.commits)

    async with cluster(settings), running(changed(settings, max_failures=2, session_timeout_seconds=1.0), noted):
        for failures in (1, 2):
            committed = commits()
            await until(lambda: commits() > committed)  # noqa: B023
            other = Transactions(settings, number)
            await other.claim()
            await other.close()
            await until(lambda: len(noted.failures) == failures)  # noqa: B023
        committed = commits()
        await until(lambda: commits() > committed)


async def test_an_agent_that_gives_a_chunk_up_costs_its_partition_a_claim_and_no_more(settings: EngineSettings) -> None:
    given_up: list[Chunk] = []

    async def forgetful(chunk: Chunk) -> None:
        if given_up:
            await answer(chunk)
        else:
            given_up.append(chunk)
            chunk.result.cancel()

    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1"])
        engine = Engine(changed(settings), lambda number, ids: Toy(number, ids, PARTITIONS), forgetful)
        task = asyncio.create_task(engine.run())
        try:
            await topics.settle()
        finally:
            await engine.stop()
            await task
        assert topics.lines() == ["org-1 e1 1"]


class Greedy(Toy):
    def idle(self, now_micros: int) -> Effects:
        return Effects(taken=1)


class Restless(Toy):
    def idle(self, now_micros: int) -> Effects:
        raise ValueError("no rest")


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [(Greedy, "idle() consumed 1 records; it has none"), (Restless, "the machine raised ValueError: no rest")],
)
async def test_a_machine_that_errs_in_a_quiet_moment_halts_its_partition(
    settings: EngineSettings, machine: type[Toy], sentence: str
) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        async with running(settings, noted, machine):
            await until(lambda: len(noted.halts) == PARTITIONS)
        await topics.catch_up()
        assert {str(reason) for reason in noted.halts.values()} == {sentence}
        assert all(topics.journal(number) == [] for number in range(PARTITIONS))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ({"mode": "replay", "partitions": PARTITIONS}, "begun in replay mode, this worker runs in live mode"),
        ({"mode": "live", "partitions": 8}, f"begun as one of 8, there are {PARTITIONS} now"),
        ({"mode": "live", "partitions": PARTITIONS, "format": 2}, "format 2, this program knows 1"),
    ],
)
async def test_a_partition_begun_otherwise_halts(settings: EngineSettings, cell: dict[str, Any], sentence: str) -> None:
    noted = Noted()
    async with cluster(settings):
        async with AIOKafkaProducer(**settings.kafka) as producer:
            value = encode_cell(EngineCell(usage=0, commands=0, **cell))
            await producer.send_and_wait(settings.topic("ledger-state"), value, b"\x00engine", partition=2)
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert list(noted.halts) == [2]
        assert sentence in str(noted.halts[2])


async def test_a_log_of_identities_that_cannot_be_read_halts_its_partition(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings):
        async with AIOKafkaProducer(**settings.kafka) as producer:
            await producer.send_and_wait(settings.topic("seen-ids"), b"\x02" + bytes(36), partition=2)
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert list(noted.halts) == [2]
        assert "seen-ids: format 2" in str(noted.halts[2])


async def test_input_that_is_gone_before_it_was_read_halts_its_partition(settings: EngineSettings) -> None:
    """A reader that went on at the earliest record left would lose usage without a word."""
    noted = Noted()
    async with cluster(settings):
        async with AIOKafkaProducer(**settings.kafka) as producer:
            value = encode_cell(EngineCell(mode="live", partitions=PARTITIONS, usage=1_000, commands=0))
            await producer.send_and_wait(settings.topic("ledger-state"), value, b"\x00engine", partition=2)
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert list(noted.halts) == [2]
        assert "usage-events-2 was read up to 1000 and ends at 0: Kafka deleted" in str(noted.halts[2])


async def test_input_that_retention_took_before_it_was_read_halts_its_partition(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        await topics.send([f"org-{i} e{i} 1" for i in range(5)], partition=2)
        async with AIOKafkaProducer(**settings.kafka) as producer:
            value = encode_cell(EngineCell(mode="live", partitions=PARTITIONS, usage=2, commands=0))
            await producer.send_and_wait(settings.topic("ledger-state"), value, b"\x00engine", partition=2)
        admin = AIOKafkaAdminClient(**settings.kafka)
        await admin.start()
        try:
            usage = TopicPartition(settings.topic("usage-events"), 2)
            await admin.delete_records({usage: RecordsToDelete(before_offset=4)})
        finally:
            await admin.close()
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert list(noted.halts) == [2]
        assert "usage-events-2 was read up to 2 and begins at 4: Kafka deleted" in str(noted.halts[2])


async def test_identities_that_retention_takes_while_they_are_read_back_cost_a_claim_and_no_more(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are too old to be asked for; only the reading has to begin again."""
    seen, noted = TopicPartition(settings.topic("seen-ids"), 2), Noted()

    async def delete() -> None:
        admin = AIOKafkaAdminClient(**settings.kafka)
        await admin.start()
        try:
            await admin.delete_records({seen: RecordsToDelete(before_offset=3)})
        finally:
            await admin.close()

    def delete_once(partition: Partition) -> None:
        """Between the question where they begin and the first fetch; others have nothing to read back."""
        if partition.number != seen.partition:
            return
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(asyncio.run, delete()).result()

    async with cluster(settings):
        async with AIOKafkaProducer(**settings.kafka) as producer:
            for number in range(5):
                (value,) = pack({bytes([number] * 16): bytes(12)}, time.time_ns() // 1_000)
                await producer.send_and_wait(seen.topic, value, partition=seen.partition)
        monkeypatch.setattr(Partition, "_is_alive", delete_once)
        async with running(changed(settings, session_timeout_seconds=2.0), noted):
            await until(lambda: bool(noted.halts) or 2 in {commit.partition for commit in noted.commits})
    assert noted.halts == {}
    assert [type(failure) for failure in noted.failures] == [OffsetOutOfRangeError]


LEFT = EngineCell(mode="live", partitions=PARTITIONS, usage=3, commands=0, seq=1, seen_to=1)
BEFORE = EngineCell(mode="live", partitions=PARTITIONS, usage=0, commands=0)
LINE = encode_journal("chunk", BEFORE, LEFT, (), {"toy": 1})


@pytest.mark.parametrize(
    ("lies", "sentence"),
    [
        (
            {"ledger-journal": LINE},
            "ledger-state is lost: it says nothing, and ledger-journal ends with transaction 1;",
        ),
        ({"ledger-state": encode_cell(LEFT)}, "ledger-state is as of transaction 1, ledger-journal ends with 0:"),
        (
            {"ledger-state": encode_cell(BEFORE), "ledger-journal": LINE},
            "as of transaction 0, ledger-journal ends with 1",
        ),
        (
            {"ledger-state": encode_cell(LEFT), "ledger-journal": LINE},
            "seen-ids ends at offset 0, the ledger wrote up to 1",
        ),
        ({"ledger-journal": b'{"seq": "of a newer program"}'}, "no line of a journal that this program knows"),
    ],
)
async def test_a_partition_of_whose_memory_a_part_was_lost_halts_before_it_charges_anything_twice(
    settings: EngineSettings, lies: dict[str, bytes], sentence: str
) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1"], partition=2)
        async with AIOKafkaProducer(**settings.kafka) as producer:
            for topic, value in lies.items():
                await producer.send_and_wait(settings.topic(topic), value, b"\x00engine", partition=2)
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        await topics.catch_up()
        assert list(noted.halts) == [2]
        assert sentence in str(noted.halts[2])
        assert topics.partition_lines(2) == []


async def test_a_worker_that_is_older_than_the_last_one_stops(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1"])
        async with running(settings):
            await topics.settle()
        older = Engine(settings, lambda number, ids: Toy(number, ids, PARTITIONS, versions={"toy": 0}), answer)
        try:
            with pytest.raises(
                Refused, match="older than the one before it: toy 0, the last transaction was made with 1"
            ):
                await older.run()
        finally:
            await older.stop()


async def test_missing_topics_are_refused_by_name(settings: EngineSettings) -> None:
    with pytest.raises(Refused, match=r"topics are missing: .*usage-events"):
        await cluster_when_ready(settings)


async def test_another_number_of_partitions_than_was_set_is_refused(settings: EngineSettings) -> None:
    await make_topics(settings, PARTITIONS, {})
    with pytest.raises(
        Refused, match=f"the topics have {PARTITIONS} partitions, PARTITIONS is 8; .*: set PARTITIONS to"
    ):
        await cluster_when_ready(changed(settings, partitions=8))


async def test_topics_of_the_other_mode_are_refused(settings: EngineSettings) -> None:
    await make_topics(changed(settings, mode="replay"), PARTITIONS, {})
    with pytest.raises(Refused, match="live mode needs"):
        await cluster_when_ready(settings)


async def test_inputs_that_keep_a_producers_codec_are_refused_and_the_command_named(settings: EngineSettings) -> None:
    await make_topics(settings, PARTITIONS, {"account-commands": {"compression.type": "producer"}})
    topic = settings.topic("account-commands")
    command = (
        f"kafka-configs.sh --bootstrap-server {settings.brokers} --alter --entity-type topics --entity-name {topic} "
        "--add-config compression.type=uncompressed"
    )
    with pytest.raises(Refused, match=re.escape(f"{topic} differ. Run:\n  {command}") + "$"):
        await cluster_when_ready(settings)


async def test_an_absent_broker_is_waited_for_and_the_setting_named(caplog: pytest.LogCaptureFixture) -> None:
    settings = engine_settings(f"127.0.0.1:{free_port()}", "")
    with caplog.at_level(logging.WARNING, "pipeline.engine"):
        task = asyncio.create_task(cluster_when_ready(settings))
        await until(lambda: any("trying again" in record.message for record in caplog.records))
        task.cancel()
    (first, *_) = [record for record in caplog.records if record.name == "pipeline.engine.preflight"]
    assert f"no Kafka at {settings.brokers} (KAFKA_BOOTSTRAP_SERVERS)" in first.message
    assert first.exc_info is None


async def test_a_refill_after_a_transaction_begins_where_its_identities_ended(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        seen = TopicPartition(settings.topic("seen-ids"), 0)
        transactions = Transactions(settings, 0)
        try:
            await transactions.claim()
            # Two records, a marker, then two batches of one record each.
            first = await transactions.commit({seen: [Write(None, b"1"), Write(None, b"2")]}, None)
            second = await transactions.commit({seen: [Write(None, b"3" * 600_000), Write(None, b"4" * 600_000)]}, None)
        finally:
            await transactions.close()
        await topics.catch_up()
        offsets = [record.offset for record in topics.of("seen-ids", 0)]
        assert (first[seen], second[seen]) == (offsets[1] + 1, offsets[3] + 1)
