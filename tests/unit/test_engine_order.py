"""What may be processed next, and what time it is (R20a, R44): buffers in, runs out, no Kafka."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pipeline.engine.buffers import InputBuffer
from pipeline.engine.contract import Input, InvariantBroken, Run
from pipeline.engine.order import LiveOrder, Order, ReplayOrder
from pipeline.engine.records import ARRIVAL_HEADER, TICK_TYPE, TYPE_HEADER


@dataclass
class Record:
    offset: int
    timestamp: int
    key: bytes | None = b"org"
    value: bytes | None = b""
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def tick(offset: int, at_ms: int) -> Record:
    return Record(offset, at_ms, key=None, headers=[(TYPE_HEADER, TICK_TYPE)])


def forwarded(offset: int, at_ms: int, first_ms: int) -> Record:
    return Record(offset, at_ms, headers=[(ARRIVAL_HEADER, b"%d" % (first_ms * 1_000))])


def buffer(name: Input, *records: Record, floor_ms: int = 0) -> InputBuffer:
    made = InputBuffer(name, 0, floor_ms * 1_000)
    if records:
        made.extend(records)
    return made


def at(name: Input, *times_ms: int, floor_ms: int = 0) -> InputBuffer:
    return buffer(name, *(Record(offset, time) for offset, time in enumerate(times_ms)), floor_ms=floor_ms)


def shown(runs: list[Run]) -> list[tuple[str, list[int]]]:
    return [(run.input, [record.offset for record in run.records]) for run in runs]


class TestBuffer:
    def test_a_record_that_was_read_before_is_refused(self) -> None:
        usage = at("usage", 1, 2)
        with pytest.raises(InvariantBroken, match="offset 1 came although 2 was to be read"):
            usage.extend([Record(1, 2)])

    def test_offsets_may_jump_over_what_compaction_and_markers_took(self) -> None:
        usage = at("usage", 1, 2)
        usage.extend([Record(7, 3)])
        usage.consume(3, 3_000)
        assert usage.position == 8

    def test_what_is_consumed_moves_position_and_floor(self) -> None:
        usage = at("usage", 1, 2, 3)
        usage.consume(2, 2_000)
        assert (usage.position, usage.floor_micros, len(usage.records)) == (2, 2_000, 1)


class TestLive:
    def test_commands_come_first_then_usage(self) -> None:
        order = LiveOrder(at("usage", 1, 2), at("commands", 5))
        assert shown(order.runs(None)) == [("commands", [0]), ("usage", [0, 1])]

    @pytest.mark.parametrize(
        ("due_micros", "usage"), [(1_999, [0]), (2_000, [0]), (2_001, [0, 1]), (3_000, [0, 1]), (3_001, [0, 1, 2])]
    )
    def test_a_chunk_ends_before_the_first_record_at_or_after_the_due_instant(
        self, due_micros: int, usage: list[int]
    ) -> None:
        order = LiveOrder(at("usage", 1, 2, 3), at("commands"))
        assert shown(order.runs(due_micros)) == [("usage", usage)]

    def test_a_forwarded_record_counts_by_its_first_arrival(self) -> None:
        usage = buffer("usage", Record(0, 10), forwarded(1, 21, first_ms=5), Record(2, 22))
        order = LiveOrder(usage, at("commands"))
        assert shown(order.runs(20_000)) == [("usage", [0, 1])]

    def test_a_forwarded_record_does_not_move_time_back(self) -> None:
        order = LiveOrder(buffer("usage", forwarded(0, 21, first_ms=5)), at("commands", floor_ms=30))
        assert order.time_micros(20_000) == 20_000

    def test_time_is_the_arrival_of_the_earliest_unread_record(self) -> None:
        assert LiveOrder(at("usage", 7, 8), at("commands", 5)).time_micros(0) == 5_000

    def test_an_input_of_which_more_may_come_holds_time_back(self) -> None:
        assert LiveOrder(at("usage", 7), at("commands", floor_ms=3)).time_micros(0) == 3_000

    def test_an_input_read_to_its_end_holds_nothing_back(self) -> None:
        assert LiveOrder(at("usage", 7), at("commands", floor_ms=9)).time_micros(0) == 7_000

    def test_with_both_read_to_their_end_it_is_when_that_was_asked(self) -> None:
        assert LiveOrder(at("usage", floor_ms=9), at("commands", floor_ms=9)).time_micros(0) == 9_000

    def test_commands_from_before_the_claim_go_alone(self) -> None:
        commands = at("commands", 5)
        commands.behind = True
        assert shown(LiveOrder(at("usage", 1), commands).runs(None)) == [("commands", [0])]

    def test_usage_waits_for_commands_from_before_the_claim(self) -> None:
        commands = at("commands")
        commands.behind = True
        assert LiveOrder(at("usage", 1), commands).runs(None) == []

    def test_usage_does_not_wait_for_commands_that_wait_for_what_falls_due(self) -> None:
        commands = at("commands", 9)
        commands.behind = True
        assert shown(LiveOrder(at("usage", 1), commands).runs(5_000)) == [("usage", [0])]

    def test_ticks_are_skipped_and_say_nothing_about_time(self) -> None:
        usage = buffer("usage", tick(0, 99), Record(1, 5))
        order = LiveOrder(usage, at("commands", floor_ms=9))
        assert order.skip_ticks(0)
        assert not order.skip_ticks(0)
        assert (usage.position, order.time_micros(0)) == (1, 5_000)

    def test_a_chunk_ends_before_a_tick(self) -> None:
        usage = buffer("usage", Record(0, 1), tick(1, 2), Record(2, 3))
        assert shown(LiveOrder(usage, at("commands")).runs(None)) == [("usage", [0])]

    def test_what_was_not_taken_is_offered_again(self) -> None:
        usage, commands = at("usage", 1, 2, 3), at("commands", 5)
        order = LiveOrder(usage, commands)
        order.consume(order.runs(None), 2)
        assert shown(order.runs(None)) == [("usage", [1, 2])]
        assert (commands.position, usage.position) == (1, 1)


class TestReplay:
    def test_the_inputs_are_merged_by_arrival_a_command_before_usage(self) -> None:
        order = ReplayOrder(at("usage", 1, 3, 3, 6), at("commands", 2, 3, 5, 9))
        assert shown(order.runs(None)) == [
            ("usage", [0]),
            ("commands", [0, 1]),
            ("usage", [1, 2]),
            ("commands", [2]),
            ("usage", [3]),
        ]

    def test_usage_waits_until_commands_are_known_beyond_it(self) -> None:
        assert ReplayOrder(at("usage", 5), at("commands", floor_ms=5)).runs(None) == []
        assert shown(ReplayOrder(at("usage", 5), at("commands", floor_ms=6)).runs(None)) == [("usage", [0])]

    def test_a_command_waits_until_usage_is_known_up_to_it(self) -> None:
        assert ReplayOrder(at("usage", floor_ms=4), at("commands", 5)).runs(None) == []
        assert shown(ReplayOrder(at("usage", floor_ms=5), at("commands", 5)).runs(None)) == [("commands", [0])]

    def test_a_tick_lets_the_other_input_go_on(self) -> None:
        order = ReplayOrder(at("usage", 5), buffer("commands", tick(0, 6)))
        assert shown(order.runs(None)) == [("usage", [0])]

    def test_ticks_of_the_same_instant_let_each_other_pass(self) -> None:
        usage, commands = buffer("usage", tick(0, 6)), buffer("commands", tick(0, 6))
        order = ReplayOrder(usage, commands)
        assert order.time_micros(0) == 6_000
        assert order.skip_ticks(6_000)
        assert (usage.position, commands.position) == (1, 1)

    def test_a_tick_is_not_passed_before_its_time(self) -> None:
        usage = buffer("usage", tick(0, 6))
        assert not ReplayOrder(usage, at("commands", floor_ms=9)).skip_ticks(5_999)

    def test_a_forwarded_record_after_the_last_tick_is_not_left_behind(self) -> None:
        usage = buffer("usage", forwarded(0, 5, first_ms=5), floor_ms=6)
        assert shown(ReplayOrder(usage, at("commands", floor_ms=6)).runs(None)) == [("usage", [0])]

    def test_a_chunk_ends_before_what_falls_due(self) -> None:
        order = ReplayOrder(at("usage", 1, 4, 5), at("commands", 2, 9))
        assert shown(order.runs(5_000)) == [("usage", [0]), ("commands", [0]), ("usage", [1])]

    def test_time_moves_only_with_the_record_that_is_next(self) -> None:
        assert ReplayOrder(at("usage", 5), at("commands", floor_ms=4)).time_micros(3_000) == 3_000
        assert ReplayOrder(at("usage", 5), at("commands", 7)).time_micros(3_000) == 5_000

    def test_the_clock_stays_where_the_records_left_it(self) -> None:
        assert ReplayOrder(at("usage", floor_ms=9), at("commands", floor_ms=9)).time_micros(8_000) == 8_000

    @pytest.mark.parametrize("seed", range(50))
    def test_the_same_input_gives_the_same_order_whatever_the_timing(self, seed: int) -> None:
        chance = random.Random(seed)
        logs: dict[Input, list[Record]] = {"usage": [], "commands": []}
        for log in logs.values():
            log += [Record(offset, time) for offset, time in enumerate(sorted(chance.choices(range(30), k=25)))]
            log.append(tick(len(log), 40))
        at_once = everything(logs, lambda _left: 1_000)
        assert len(at_once) == 50
        assert everything(logs, lambda _left: chance.randint(0, 3)) == at_once


def everything(logs: dict[Input, list[Record]], arriving: Callable[[int], int]) -> list[tuple[str, int]]:
    """What is processed, in order, where the records come in as `arriving` says, and chunks are cut at random."""
    buffers = {name: InputBuffer(name, 0) for name in logs}
    order: Order = ReplayOrder(buffers["usage"], buffers["commands"])
    left = {name: list(log) for name, log in logs.items()}
    processed: list[tuple[str, int]] = []
    now_micros = 0
    while any(left.values()) or any(made.records for made in buffers.values()):
        for name, log in left.items():
            count = arriving(len(log))
            if log[:count]:
                buffers[name].extend(log[:count])
                del log[:count]
        now_micros = order.time_micros(now_micros)
        order.skip_ticks(now_micros)
        runs = order.runs(None)
        taken = max(1, arriving(0)) if runs else 0
        offered = [(run.input, record.offset) for run in runs for record in run.records]
        order.consume(runs, taken)
        processed += offered[:taken]
    return processed
