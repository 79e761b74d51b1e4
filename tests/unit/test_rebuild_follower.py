"""A journal followed: the machine is called as it was then; a gap, or a machine that does something else, is told."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from pipeline.engine.contract import Identities, InvariantBroken
from pipeline.engine.identity import MemoryIdentities
from pipeline.engine.journal import EngineCell, JournalLine, decode_journal, encode_journal
from pipeline.engine.records import TICK_TYPE, TYPE_HEADER
from pipeline.engine.settings import EngineSettings
from pipeline.rebuild.follower import Diverged, Follower, Versions
from pipeline.replay import Record
from tests.support.toy_ledger import OUT, Toy

SETTINGS = EngineSettings(kafka={}, mode="replay")


class Following:
    """A toy ledger's journal, line by line; `made` are the versions that machines were made of."""

    def __init__(self, **toy: Any) -> None:
        self.made: list[Versions] = []
        self.seq = self.usage = self.commands = 0
        self._toy = toy
        self.follower = Follower(SETTINGS, 1, 0, MemoryIdentities(35), self._machine)

    def _machine(self, versions: Versions, number: int, identities: Identities) -> Toy:
        self.made.append(versions)
        return Toy(number, identities, 1, versions=dict(versions), **self._toy)

    async def line(self, usage: Sequence[Record] = (), commands: Sequence[Record] = (), **fields: Any) -> list[str]:
        """What comes out of the transaction that read these."""
        self.seq += 1
        ranges = {
            "usage": (self.usage, self.usage + len(usage)),
            "commands": (self.commands, self.commands + len(commands)),
        }
        self.usage, self.commands = ranges["usage"][1], ranges["commands"][1]
        usual: dict[str, Any] = {"kind": "chunk", "now_micros": 1, "quarantined": (), "versions": {"toy": 1}}
        line = JournalLine(**{"seq": self.seq} | ranges | usual | fields)
        writes = await self.follower.follow(line, {"usage": usage, "commands": commands})
        return [(write.value or b"").decode() for write in writes.get(TopicPartition(OUT, 0), [])]


def usage(offset: int, text: str, arrived_ms: int = 10) -> Record:
    return Record("usage", offset, arrived_ms, text.encode())


def command(offset: int, text: str, arrived_ms: int = 10) -> Record:
    return Record("commands", offset, arrived_ms, text.encode())


def tick(offset: int, at_ms: int) -> Record:
    return Record("usage", offset, at_ms, b"{}", [(TYPE_HEADER, TICK_TYPE)])


async def test_records_of_both_inputs_come_in_the_order_in_which_they_were_processed() -> None:
    following = Following()
    assert await following.line([usage(0, "a e1 1", 10), usage(1, "a e2 1", 30)], [command(0, "a 5", 20)]) == [
        "a e1 1",
        "a e2 6",
    ]


async def test_identities_and_cells_are_rebuilt_along() -> None:
    following = Following()
    await following.line([usage(0, "a e1 1")])
    assert await following.line([usage(1, "a e1 1"), usage(2, "a e2 2")]) == ["a e2 3"]
    assert following.follower.cells == {b"total/a": b"3"}


async def test_what_fell_due_and_what_was_told_in_a_quiet_moment_are_lines_of_their_own() -> None:
    following = Following(period_micros=20_000)
    await following.line([usage(0, "a e1 1", 10)])
    assert await following.line(kind="due", now_micros=20_000) == ["closed 20000 1"]
    await following.line(kind="idle", now_micros=25_000)
    assert following.follower.cells == {b"total/a": b"1", b"clock/published": b"25000"}


async def test_a_place_that_was_set_aside_is_again() -> None:
    following = Following()
    assert await following.line([usage(0, "a e1 x")], quarantined=(("usage", 0, 0),)) == ["internal_error a e1 x"]


async def test_ticks_are_no_records_but_move_what_has_arrived() -> None:
    following = Following()
    assert await following.line([tick(0, 50)]) == []
    assert await following.line([tick(1, 60), usage(2, "a e1 1", 70)]) == ["a e1 1"]
    assert following.follower.cell == EngineCell(
        mode="replay", partitions=1, usage=3, commands=0, usage_arrival_micros=70_000, now_micros=1, seq=2
    )


async def test_a_machine_of_other_versions_takes_over_from_the_cells() -> None:
    following = Following()
    await following.line([usage(0, "a e1 1")])
    assert await following.line([usage(1, "a e2 1")], versions={"toy": 2}) == ["a e2 2"]
    assert await following.line([usage(2, "a e3 1")], versions={"toy": 2}) == ["a e3 3"]
    assert following.made == [{"toy": 1}, {"toy": 2}]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"seq": 3}, "transaction 2, with usage from 1 and commands from 0, should come next; it goes on with .* 3,"),
        ({"seq": 1}, "should come next; it goes on with transaction 1,"),
        ({"kind": "idle"}, "the ledger took 1 records, the rebuild 0 of them"),
        ({"quarantined": ()}, "the ledger went on, the rebuild fails with: usage offset 1, event 0: ValueError"),
    ],
)
async def test_a_journal_that_cannot_be_followed_is_told(fields: dict[str, Any], sentence: str) -> None:
    following = Following()
    await following.line([usage(0, "a e1 1")])
    with pytest.raises(Diverged, match=sentence):
        await following.line([usage(1, "a e2 x")], **fields)


async def test_a_journal_that_skips_input_is_told() -> None:
    following = Following()
    await following.line([usage(0, "a e1 1")])
    following.usage = 5
    with pytest.raises(Diverged, match="it goes on with transaction 2, usage from 5, commands from 0"):
        await following.line([usage(5, "a e2 1")])


async def test_a_machine_that_takes_fewer_records_than_then_is_told() -> None:
    following = Following(most_records=1)
    with pytest.raises(Diverged, match="the ledger took 2 records, the rebuild 1 of them"):
        await following.line([usage(0, "a e1 1"), usage(1, "a e2 1")])


def test_a_line_comes_back_as_it_was_written() -> None:
    before = EngineCell(mode="live", partitions=1, usage=1, commands=0)
    after = EngineCell(mode="live", partitions=1, usage=4, commands=0, now_micros=9, seq=7)
    line = decode_journal(encode_journal("due", before, after, (), {"price_book": "ab", "rules": 1}))
    assert (line.seq, line.kind, line.usage, line.commands, line.now_micros) == (7, "due", (1, 4), (0, 0), 9)
    assert (line.places, line.versions) == (frozenset(), {"price_book": "ab", "rules": 1})


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"seq":1}', b'{"seq":1,"kind":"new"}'])
def test_a_line_of_another_format_is_refused(value: bytes) -> None:
    with pytest.raises(InvariantBroken, match="no line of a journal that this program knows"):
        decode_journal(value)
