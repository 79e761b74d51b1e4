"""What of a rebuild and of Kafka must be equal: planted differences are told, and what need not be equal is not."""

import json
from typing import Any

import pytest
from aiokafka import TopicPartition

from pipeline.engine.identity import pack
from pipeline.engine.journal import ENGINE_CELL
from pipeline.engine.transaction import Write
from pipeline.rebuild.sameness import OutputCheck, changes, first_cell_amiss, first_status_amiss
from pipeline.replay import Record
from schemas.instants import MICROS_PER_DAY

HORIZON_DAYS = 35
NOW = 1_000 * MICROS_PER_DAY


class Kept:
    """What a topic's partition still keeps: records from an offset on."""

    def __init__(self, *values: bytes, begins: int = 0) -> None:
        self.place = TopicPartition("priced-usage", 3)
        self.position = begins
        self._records = [Record("usage", begins + number, 0, value) for number, value in enumerate(values)]

    async def next(self) -> Record | None:
        return self._records.pop(0) if self._records else None


async def held(kept: Kept, *transactions: list[bytes], of_identities: bool = False) -> OutputCheck:
    """What a rebuild wrote, transaction by transaction from the first, against what is kept."""
    stream: Any = kept
    check = OutputCheck(stream, of_identities=of_identities)
    for seq, values in enumerate(transactions, start=1):
        await check.hold(seq, [Write(None, value) for value in values])
    await check.end()
    return check


async def test_the_same_records_are_counted() -> None:
    check = await held(Kept(b"a", b"b", b"c"), [b"a"], [], [b"b", b"c"])
    assert (check.difference, check.compared) == (None, 3)


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        ([b"a", b"x", b"c"], "priced-usage[3] offset 1 holds x; transaction 2 wrote b"),
        ([b"a", b"c"], "priced-usage[3] offset 1 holds c; transaction 2 wrote b"),
        ([b"a", b"b"], "priced-usage[3] ends before what transaction 2 wrote: c"),
        ([b"a", b"b", b"b", b"c"], "priced-usage[3] offset 2 holds b; transaction 2 wrote c"),
        ([b"a", b"b", b"c", b"d"], "priced-usage[3] offset 3 was written by no transaction: d"),
        ([], "priced-usage[3] ends before what transaction 1 wrote: a"),
    ],
)
async def test_a_record_that_is_changed_lost_doubled_or_too_many_is_told_with_its_place(
    kept: list[bytes], sentence: str
) -> None:
    assert (await held(Kept(*kept), [b"a"], [b"b", b"c"])).difference == sentence


async def test_of_long_records_the_place_is_shown_where_they_begin_to_differ() -> None:
    row = b'{"org_id":"acme","cost_picousd":"' + b"1" * 500 + b'"}'
    check = await held(Kept(row.replace(b'1"}', b'2"}')), [row])
    assert check.difference is not None
    assert '2"}; transaction 1 wrote …' in check.difference
    assert len(check.difference) < 400


async def test_what_retention_deleted_is_not_asked_for() -> None:
    check = await held(Kept(b"b", b"c", begins=7), [b"a"], [b"b", b"c"])
    assert (check.difference, check.compared) == (None, 2)
    nothing_left = await held(Kept(begins=9), [b"a"], [b"b"])
    assert (nothing_left.difference, nothing_left.compared) == (None, 0)


async def test_what_is_kept_must_have_been_written() -> None:
    check = await held(Kept(b"x", b"c", begins=7), [b"a"], [b"b", b"c"])
    assert check.difference == "priced-usage[3] offset 7 was written by no transaction: x"


async def test_identities_are_the_same_whatever_the_instant_beside_them() -> None:
    identities = {b"k" * 16: b"v" * 12}
    (here,), (there,) = pack(identities, 1), pack(identities, 2)
    assert (await held(Kept(here), [there], of_identities=True)).difference is None
    (other,) = pack({b"k" * 16: b"w" * 12}, 1)
    assert (await held(Kept(other), [there], of_identities=True)).difference is not None


# Cells.


def cells(*bodies: dict[str, Any], position: dict[str, Any] | None = None) -> dict[bytes, bytes]:
    """Under keys of their own, with a calendar that has closed April, and the engine's own."""
    calendar = {"cell": "calendar", "month": "2026-05", "closed_through": "2026-04"}
    found = {f'["{body["cell"]}",{number}]'.encode(): json.dumps(body).encode() for number, body in enumerate(bodies)}
    at = {"seq": 5, "now_micros": NOW} | (position or {})
    return found | {b'["calendar"]': json.dumps(calendar).encode(), ENGINE_CELL: json.dumps(at).encode()}


MONTH = {"cell": "member_month", "month": "2026-05", "spend_picousd": "7"}
OLD_MONTH = MONTH | {"month": "2026-04"}
ANSWER = {"cell": "command", "arrived_at_micros": NOW - HORIZON_DAYS * MICROS_PER_DAY}
OLD_ANSWER = {"cell": "command", "arrived_at_micros": NOW - HORIZON_DAYS * MICROS_PER_DAY - 1}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (cells(MONTH | {"told_picousd": "7"}), cells(MONTH | {"told_picousd": "5"})),
        (cells(OLD_MONTH), cells()),
        (cells(), cells(OLD_ANSWER)),
        (cells(position={"usage_arrival_micros": 1, "seen_to": 2}), cells(position={"usage_arrival_micros": 3})),
        ({}, {}),
    ],
    ids=["what status was told", "a closed month", "an old answer", "what no journal tells", "never begun"],
)
def test_cells_that_differ_in_what_need_not_be_equal(here: dict[bytes, bytes], there: dict[bytes, bytes]) -> None:
    assert first_cell_amiss(here, there, HORIZON_DAYS) is None


@pytest.mark.parametrize(
    ("here", "there", "sentence"),
    [
        (cells(MONTH | {"spend_picousd": "8"}), cells(MONTH), "member_month"),
        (cells(), cells(MONTH), "is nothing in ledger-state, by the journal "),
        (cells(MONTH), cells(), ", by the journal nothing"),
        (cells(), cells(ANSWER), "command"),
        (cells(position={"seq": 4}), cells(), "engine"),
        ({}, cells(MONTH), "ledger-state holds no position of this partition, 3 cells were rebuilt"),
        (cells(MONTH) | {b'["member_month",0]': b"\x00"}, cells(MONTH), "member_month"),
    ],
)
def test_cells_that_differ(here: dict[bytes, bytes], there: dict[bytes, bytes], sentence: str) -> None:
    difference = first_cell_amiss(here, there, HORIZON_DAYS)
    assert difference is not None
    assert sentence in difference


# Status.


def status(**fields: Any) -> dict[bytes, bytes]:
    return {b'["member","acme","ann"]': json.dumps({"role": "member", "spend_picousd": "1"} | fields).encode()}


def test_of_status_what_decides_must_be_equal_and_what_is_held_back_need_not() -> None:
    assert first_status_amiss(status(spend_picousd="2", org_seq=3), status(org_seq=2)) is None
    assert first_status_amiss({b'["clock",0]': b'{"as_of_micros":1}'}, {}) is None
    assert "limit_picousd" in (first_status_amiss(status(), status(limit_picousd="5")) or "")
    assert "is nothing in credit-status" in (first_status_amiss({}, status()) or "")


def test_mending_writes_what_differs_to_the_byte_and_no_more() -> None:
    found = {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert dict(changes(found, {b"a": b"1", b"b": b"5", b"d": b"4"})) == {b"b": b"5", b"c": None, b"d": b"4"}
