"""The engine on a real Kafka, in this process: what comes out is what a plain recomputation gives."""

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.engine.settings import EngineSettings
from tests.support.engine_cluster import PARTITIONS, cluster, engine_settings
from tests.support.toy_engine import Noted, running, until

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> EngineSettings:
    return engine_settings(kafka.bootstrap_servers, topic_prefix)


def events(count: int, *, keys: int = 40, start: int = 0) -> list[str]:
    return [f"org-{i % keys} e{i} {i % 7}" for i in range(start, start + count)]


async def test_every_event_comes_out_once_and_in_order(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        await topics.send(events(3_000))
        async with running(settings):
            await topics.send(events(3_000, start=3_000))
            await topics.settle()
        topics.check()
        topics.check_without_journal()
        assert len(topics.lines()) == 6_000


async def test_a_machine_that_takes_little_is_offered_the_rest_again(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        await topics.send(events(400))
        async with running(settings, most_records=7):
            await topics.settle()
        topics.check_without_journal()


async def test_the_journal_tells_in_which_order_commands_and_usage_were_taken(settings: EngineSettings) -> None:
    async with cluster(settings) as topics, running(settings):
        for round_ in range(20):
            await topics.send(events(100, start=100 * round_))
            await topics.send([f"org-{i} {round_ + 2}" for i in range(40)], "account-commands")
        await topics.settle()
        topics.check()


async def test_commands_from_before_the_claim_are_known_to_all_usage(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 5"])
        await topics.send(["org-1 3"], "account-commands")
        async with running(settings):
            await topics.settle()
        assert topics.lines() == ["org-1 e1 15"]  # 5 × 3


async def test_a_duplicate_is_known_after_a_restart(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        async with running(settings):
            await topics.send(["org-1 e1 5", "org-1 e1 5", "org-1 e2 1"])
            await topics.settle()
        async with running(settings):
            await topics.send(["org-1 e2 1", "org-1 e1 5", "org-1 e3 1"])
            await topics.settle()
        assert topics.lines() == ["org-1 e1 5", "org-1 e2 6", "org-1 e3 7"]


async def test_an_event_in_the_wrong_partition_is_forwarded_with_its_origin_and_first_arrival(
    settings: EngineSettings,
) -> None:
    async with cluster(settings) as topics:
        await topics.send(events(500), partition=2)
        await topics.send(["org-1 1\norg-2 1\norg-3 1"], "account-commands", partition=0)
        async with running(settings):
            await topics.settle()
        topics.check()
        assert len(topics.lines()) == 500
        forwarded = [
            record for number in range(PARTITIONS) for record in topics.of("usage-events", number) if record.headers
        ]
        sources = {record.offset: record for record in topics.of("usage-events", 2)}
        assert forwarded
        for record in forwarded:
            headers = dict(record.headers)
            topic, partition, offset, index = headers["usage-credits.origin"].decode().split("/")
            assert (topic, partition, index) == ("usage-events", "2", "0")
            assert record.value == sources[int(offset)].value
            assert int(headers["usage-credits.first-arrival"]) == sources[int(offset)].timestamp * 1_000


async def test_a_bug_is_set_aside_and_everything_around_it_goes_on(settings: EngineSettings) -> None:
    async with cluster(settings) as topics:
        await topics.send(
            ["org-1 e1 1", "org-1 e2 boom", "org-1 e3 1\norg-1 e4 boom\norg-1 e5 1", *events(300, start=9)]
        )
        async with running(settings):
            await topics.settle()
        assert len(topics.lines()) == 305
        assert [line for line in topics.lines() if "boom" in line] == [
            "internal_error org-1 e2 boom",
            "internal_error org-1 e4 boom",
        ]
        topics.check()


async def test_too_many_bugs_halt_their_partition_and_no_other(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings) as topics, running(settings, noted):
        await topics.send([f"org-1 bug-{i} boom" for i in range(6)])  # five are set aside in an hour
        await until(lambda: bool(noted.halts))
        (number,) = noted.halts
        await topics.send(events(400))
        await topics.until(lambda: len(topics.lines()) == len(elsewhere(number, events(400))))
        assert topics.partition_lines(number) == []


def elsewhere(number: int, lines: list[str]) -> list[str]:
    """The lines of the other partitions."""
    return [line for line in lines if partition_of(line.split()[0].encode(), PARTITIONS) != number]


async def test_a_broken_invariant_halts_its_partition_and_commits_nothing_of_the_chunk(
    settings: EngineSettings,
) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        lines = [*events(200), "org-1 last halt"]
        await topics.send(lines)
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
            (number,) = noted.halts
            await topics.until(lambda: len(topics.lines()) == len(elsewhere(number, lines)))
        assert topics.partition_lines(number) == []
        assert "told to halt" in str(noted.halts[number])


async def test_an_output_over_900_kb_halts_and_is_not_committed(settings: EngineSettings) -> None:
    noted = Noted()
    async with cluster(settings) as topics:
        await topics.send(["org-1 e1 1", "org-1 e2 huge"])
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        assert "a record of 9500" in str(next(iter(noted.halts.values())))
        assert topics.lines() == []


async def test_an_output_that_the_broker_refuses_is_not_committed_without_it(settings: EngineSettings) -> None:
    """aiokafka would commit the rest: it does not look at the produces of a transaction."""
    noted = Noted()
    async with cluster(settings, {"toy-out": {"max.message.bytes": "200"}}) as topics:
        await topics.send(events(60, keys=1))
        async with running(settings, noted):
            await until(lambda: bool(noted.halts))
        await topics.catch_up()
        assert not any(entry["kind"] == "chunk" for number in range(PARTITIONS) for entry in topics.journal(number))
        assert not any(cell.startswith("total/") for number in range(PARTITIONS) for cell in topics.cells(number))


async def test_what_falls_due_while_idle_is_done_by_the_clock(settings: EngineSettings) -> None:
    async with cluster(settings) as topics, running(settings, period_micros=300_000):
        await topics.send(events(200))
        await topics.until(lambda: sum(line.startswith("closed") for line in topics.lines()) >= PARTITIONS)
        await topics.send(events(200, start=200))
        await topics.until(lambda: sum(line.startswith("closed") for line in topics.lines()) >= 2 * PARTITIONS)
        await topics.settle()
        topics.check(period_micros=300_000)
        closed = [line.split() for line in topics.lines() if line.startswith("closed")]
        assert sum(int(count) for _, _, count in closed) == 400
