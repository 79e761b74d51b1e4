"""Partitions, headers, ticks, the engine's own cell and journal, and the records of a transaction (R43, R44)."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition

from pipeline.engine.contract import Chunk, Effects, EventFailed, Forward, InvariantBroken, Output, Place, Run
from pipeline.engine.journal import ENGINE_CELL, EngineCell, decode_cell, encode_cell, encode_journal
from pipeline.engine.partitioning import partition_of
from pipeline.engine.preflight import Refused, check_kept, check_timestamps, common_count
from pipeline.engine.records import Origin, arrival_micros, forward_fits, forward_headers, is_tick, origin
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import ClockRefused, check_clock
from pipeline.engine.work import SLICE_RECORDS, answer, work
from pipeline.engine.writes import writes_of

USAGE_SLICE = SLICE_RECORDS["usage"]


@dataclass
class Record:
    offset: int = 7
    timestamp: int = 1_700
    key: bytes | None = b"org"
    value: bytes | None = b"{}"
    headers: list[tuple[str, bytes]] = field(default_factory=list)


# From Kafka's own UtilsTest.testMurmur2, & 0x7fffffff, mod 1000.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_lies_where_kafka_puts_it(key: bytes, hashed: int) -> None:
    assert partition_of(key, 1_000) == (hashed & 0x7FFFFFFF) % 1_000


def test_a_record_arrived_when_the_broker_stamped_it() -> None:
    assert arrival_micros(Record(timestamp=1_700)) == 1_700_000


def test_a_forwarded_record_arrived_when_it_first_did() -> None:
    assert arrival_micros(Record(headers=[("other", b"1"), ("usage-credits.first-arrival", b"123456")])) == 123_456


@pytest.mark.parametrize("nonsense", [b"", b"soon", b"-5", b"\xff"])
def test_a_first_arrival_that_is_no_number_does_not_count(nonsense: bytes) -> None:
    assert arrival_micros(Record(headers=[("usage-credits.first-arrival", nonsense)])) == 1_700_000


def test_an_event_lies_first_where_it_is_found() -> None:
    assert origin(Record(offset=7), "usage-events", 2, 3) == Origin("usage-events", 2, 7, 3)


def test_a_forwarded_event_keeps_its_first_origin_and_arrival_however_often_it_moves() -> None:
    source = Record(offset=7, timestamp=1_700)
    once = forward_headers(Forward("usage", b"org", b"{}", source, 3), "a.b", 2)
    moved = Record(offset=99, timestamp=5_000, headers=once)
    assert origin(moved, "a.b", 1, 0) == Origin("a.b", 2, 7, 3)
    assert arrival_micros(moved) == 1_700_000
    assert forward_headers(Forward("usage", b"org", b"{}", moved, 0), "a.b", 1) == once


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"usage-events/1/2",
        b"usage-events/x/1/2",
        b"usage-events/1/2/\xff",
        "usage-events/٣/1/2".encode(),
        b"usage-events/1/2/3/4",
        b"usage-events/2147483648/1/2",
        b"usage-events/1/2/2147483648",
        b"usage-events/1/1000000000000000000/2",
        b"a b/1/2/3",
        b"/1/2/3",
        b"t" * 250 + b"/1/2/3",
    ],
)
def test_an_origin_that_is_none_does_not_count(nonsense: bytes) -> None:
    record = Record(offset=7, headers=[("usage-credits.origin", nonsense)])
    assert origin(record, "usage-events", 2, 3) == Origin("usage-events", 2, 7, 3)


def test_an_origin_may_have_the_largest_numbers_there_are() -> None:
    record = Record(headers=[("usage-credits.origin", b"usage-events/2147483647/999999999999999999/2147483647")])
    assert origin(record, "usage-events", 2, 0) == Origin("usage-events", 2**31 - 1, 10**18 - 1, 2**31 - 1)


def test_only_a_record_without_key_and_with_the_type_is_a_tick() -> None:
    header = [("type", b"usage-credits.tick.v1")]
    assert is_tick(Record(key=None, headers=header))
    assert not is_tick(Record(key=b"org", headers=header))
    assert not is_tick(Record(key=None))
    assert not is_tick(Record(key=None, headers=[("type", b"another")]))


def test_an_event_of_a_megabyte_can_be_forwarded_and_a_larger_one_cannot() -> None:
    assert forward_fits(b"x" * 1_000_000)
    assert not forward_fits(b"x" * 1_000_001)


CELL = EngineCell(mode="live", partitions=4, usage=10, commands=5, now_micros=1, seq=3)
AFTER = EngineCell(mode="live", partitions=4, usage=12, commands=5, now_micros=2, seq=4)


def test_the_cell_comes_back_as_it_went_and_fields_of_a_newer_program_are_no_obstacle() -> None:
    assert decode_cell(encode_cell(CELL)) == CELL
    assert decode_cell(encode_cell(CELL)[:-1] + b',"later":1}') == CELL


def test_the_journal_tells_ranges_time_and_versions() -> None:
    line = encode_journal("chunk", CELL, AFTER, {Place("usage", 11, 0)}, {"price_book": "2026-01"})
    assert json.loads(line) == {
        "seq": 4,
        "kind": "chunk",
        "usage": [10, 12],
        "commands": [5, 5],
        "now_micros": 2,
        "quarantined": [["usage", 11, 0]],
        "price_book": "2026-01",
    }


SETTINGS = EngineSettings(kafka={}, prefix="t.")


def test_outputs_cells_and_journal_go_to_the_partitions_own_number() -> None:
    effects = Effects(
        outputs={"out": [Output(b"k", b"v"), Output(None, b"w")], "none": []}, cells={b"a": b"1", b"b": None}
    )
    writes = writes_of(SETTINGS, 3, "due", effects, CELL, AFTER, set(), {})
    assert {tp: [(write.key, write.value) for write in items] for tp, items in writes.items()} == {
        TopicPartition("t.out", 3): [(b"k", b"v"), (None, b"w")],
        TopicPartition("t.ledger-state", 3): [(b"a", b"1"), (b"b", None), (ENGINE_CELL, encode_cell(AFTER))],
        TopicPartition("t.ledger-journal", 3): [(None, encode_journal("due", CELL, AFTER, set(), {}))],
    }


def test_a_forward_goes_to_the_partition_of_its_key() -> None:
    forward = Forward("usage", b"foobar", b"{}", Record(offset=7, timestamp=1_700), 1)
    home = partition_of(b"foobar", 4)
    writes = writes_of(SETTINGS, (home + 1) % 4, "chunk", Effects(forwards=[forward]), CELL, AFTER, set(), {})
    (write,) = writes[TopicPartition("t.usage-events", home)]
    assert (write.key, write.value, write.timestamp_ms) == (b"foobar", b"{}", 1_700)


def test_a_forward_to_its_own_partition_breaks_an_invariant() -> None:
    forward = Forward("usage", b"foobar", b"{}", Record(), 1)
    with pytest.raises(InvariantBroken, match="at home in partition"):
        writes_of(SETTINGS, partition_of(b"foobar", 4), "chunk", Effects(forwards=[forward]), CELL, AFTER, set(), {})


def test_a_cell_under_the_engines_key_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken, match="zero byte"):
        writes_of(SETTINGS, 0, "chunk", Effects(cells={ENGINE_CELL: b"1"}), CELL, AFTER, set(), {})


@pytest.mark.parametrize(
    ("sent_ms", "stamp_ms", "received_ms", "refused"),
    [
        (10_000, 10_000, 10_001, False),
        (10_000, 5_000, 10_001, False),  # five seconds behind ours
        (10_000, 4_999, 10_001, True),
        (10_000, 15_001, 10_001, False),  # five seconds ahead of ours
        (10_000, 15_002, 10_001, True),
        (10_000, 35_000, 40_000, False),  # it was thirty seconds under way: not the clock's fault
    ],
)
def test_a_clock_more_than_five_seconds_off_the_brokers_is_refused(
    sent_ms: int, stamp_ms: int, received_ms: int, refused: bool
) -> None:
    if refused:
        with pytest.raises(ClockRefused, match="off the broker's, more than 5 s"):
            check_clock(sent_ms, stamp_ms, received_ms, 5.0)
    else:
        check_clock(sent_ms, stamp_ms, received_ms, 5.0)


def test_missing_topics_are_named() -> None:
    with pytest.raises(Refused, match="topics are missing: b, c; create them"):
        common_count(["a", "b", "c"], {"a": 4})


def test_topics_with_different_partition_counts_are_named() -> None:
    with pytest.raises(Refused, match="these differ: a 4, b 8"):
        common_count(["a", "b"], {"a": 4, "b": 8})
    assert common_count(["a", "b"], {"a": 4, "b": 4}) == 4


def test_topics_made_for_the_other_mode_are_refused() -> None:
    check_timestamps("live", {"a": "LogAppendTime"})
    check_timestamps("replay", {"a": "CreateTime"})
    with pytest.raises(Refused, match=r"live mode needs message\.timestamp\.type=LogAppendTime; a differ"):
        check_timestamps("live", {"a": "CreateTime"})


def test_what_was_seen_must_be_kept_for_the_horizon_and_a_day() -> None:
    days = 86_400_000
    check_kept("kafka:9092", {"seen-ids": str(61 * days)}, 60)
    check_kept("kafka:9092", {"seen-ids": "-1"}, 60)
    with pytest.raises(Refused, match=rf"seen-ids is kept for 36 days, HORIZON_DAYS=60 .*\n.*={61 * days}"):
        check_kept("kafka:9092", {"seen-ids": str(36 * days)}, 60)


class Counting:
    """A machine that counts what it takes, up to a limit."""

    versions: dict[str, str | int] = {}  # noqa: RUF012  # as the contract has it

    def __init__(self, most: int = 10_000, error: Exception | None = None) -> None:
        self.most, self.error = most, error
        self.slices: list[int] = []

    def begin(self, now_micros: int, quarantined: frozenset[Place]) -> None:
        self.effects = Effects()

    def take(self, run: Run) -> bool:
        if self.error:
            raise self.error
        self.slices.append(len(run.records))
        self.effects.taken += len(run.records)
        return self.effects.taken < self.most

    def finish(self) -> Effects:
        return self.effects


def chunk_of(machine: Counting, count: int) -> Chunk:
    result: asyncio.Future[Effects] = asyncio.get_running_loop().create_future()
    return Chunk(machine, 0, [Run("usage", [Record()] * count)], frozenset(), result)  # type: ignore[arg-type]


async def test_a_chunk_is_worked_through_in_slices() -> None:
    machine = Counting()
    assert (await work(chunk_of(machine, 2 * USAGE_SLICE + 1))).taken == 2 * USAGE_SLICE + 1
    assert machine.slices == [USAGE_SLICE, USAGE_SLICE, 1]


async def test_a_full_machine_is_given_no_more() -> None:
    machine = Counting(most=1)
    assert (await work(chunk_of(machine, 1_000))).taken == USAGE_SLICE


async def test_what_the_machine_raises_becomes_the_result_and_the_agent_lives_on() -> None:
    chunk = chunk_of(Counting(error=EventFailed(Place("usage", 7, 0), ValueError("no"))), 1)
    await answer(chunk)
    with pytest.raises(EventFailed, match="usage offset 7, event 0: ValueError: no"):
        await chunk.result


async def test_a_chunk_whose_partition_is_gone_is_no_trouble() -> None:
    chunk = chunk_of(Counting(), 1)
    chunk.result.cancel()
    await answer(chunk)
