"""Which dead letters are meant, what became of them, and as what they are given to the ledger again: without Kafka."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from pipeline.agents.dead_letters import letter_id
from pipeline.dead_letters.cases import Case, Wanted, cases_of
from pipeline.dead_letters.reading import Filed
from pipeline.dead_letters.reasons import REMEDIES
from pipeline.dead_letters.redriving import HeldBack, check_remembered, redriven
from pipeline.dead_letters.report import document_of_one, printable
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER
from schemas.dead_letters import KEPT_BYTES, DeadLetter, DeadLetterDecision, Origin, Reason
from tests.support.bad_input import ITEMS, NOT_JSON, UNTIMELY, Bad
from tests.support.builders import NOON, as_json, event, later, micros, searches
from tests.support.dead_letter_desk import letter
from tests.support.ledger import LedgerInMemory, acme

PARTITIONS = 4


def filed(one: DeadLetter, *, partition: int = 3, written_millis: int = 1) -> Filed:
    return Filed(one, partition, written_millis)


async def nothing_there(_origin: Origin) -> bytes | None:
    return None


def decision(one: DeadLetter, what: Any = "redriven") -> DeadLetterDecision:
    return DeadLetterDecision(
        dead_letter_id=one.dead_letter_id, decision=what, by="olga", why=None, at_micros=micros(NOON)
    )


async def cases(letters: Sequence[Filed], *decisions: DeadLetterDecision, wanted: Wanted | None = None) -> list[Case]:
    async def stream() -> AsyncIterator[Filed]:
        for one in letters:
            yield one

    return await cases_of(stream(), {one.dead_letter_id: one for one in decisions}, wanted or Wanted())


def test_every_reason_has_its_remedy() -> None:
    assert set(REMEDIES) == set(Reason)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), True),
        (Wanted(ids=frozenset(["x"])), True),
        (Wanted(ids=frozenset(["y"])), False),
        (Wanted(reasons=frozenset([Reason.CONFLICT, Reason.INVALID])), True),
        (Wanted(reasons=frozenset([Reason.INVALID])), False),
        (Wanted(org_id="acme"), True),
        (Wanted(org_id="borealis"), False),
        (Wanted(since_micros=micros(NOON)), True),
        (Wanted(since_micros=micros(NOON) + 1), False),
        (Wanted(until_micros=micros(NOON) + 1), True),
        (Wanted(until_micros=micros(NOON)), False),
        (Wanted(only_open=True), True),
        (Wanted(org_id="acme", reasons=frozenset([Reason.INVALID])), False),
    ],
)
def test_which_are_wanted(wanted: Wanted, expected: bool) -> None:
    one = letter(b"", 0, dead_letter_id="x", reason=Reason.CONFLICT, arrived_at_micros=micros(NOON))
    assert wanted.takes(one, None) is expected
    assert wanted.takes(one, decision(one)) is (expected and not wanted.only_open)


async def test_cases_are_in_the_order_of_their_arrival_and_leave_payloads_out() -> None:
    late, early = (letter(b"payload", number, arrived_at_micros=5 - number) for number in range(2))
    found = await cases([filed(late), filed(early)])
    assert [case.letter.arrived_at_micros for case in found] == [4, 5]
    assert {case.letter.payload for case in found} == {""}


async def test_what_is_refused_again_is_named_at_what_was_redriven() -> None:
    first = letter(b"{}", 7)
    second, third = (first.model_copy(update={"dead_letter_id": name}) for name in ("second", "third"))
    letters = [filed(one, written_millis=number) for number, one in enumerate((first, second, third))]
    found = await cases(letters, decision(first), decision(second, "discarded"))
    assert [case.refused_again_as for case in found] == ["second", None, None]
    found = await cases(letters[::-1], decision(first), decision(second))
    assert [case.refused_again_as for case in found] == ["second", "third", None]


async def test_it_goes_to_its_organisations_partition_with_first_arrival_and_origin() -> None:
    raw = as_json(event())
    one = letter(raw, 77, partition=1, org_id="acme", arrived_at_micros=1_234_567)
    record = await redriven(filed(one), nothing_there, PARTITIONS)
    assert (record.topic, record.partition, record.key) == ("usage-events", partition_of(b"acme", PARTITIONS), b"acme")
    assert record.value == raw
    assert record.headers == [(ARRIVAL_HEADER, b"1234567"), (ORIGIN_HEADER, b"usage-events/1/77/0")]
    assert record.timestamp_millis == 1_234


@pytest.mark.parametrize("org_id", [None, "", "two words", "ü"])
async def test_without_an_organisation_it_goes_where_it_was_judged(org_id: str | None) -> None:
    record = await redriven(filed(letter(b"{", 7, partition=1, org_id=org_id), partition=3), nothing_there, PARTITIONS)
    assert (record.partition, record.key) == (3, None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"length_bytes": 1_000_001}, "1,000,001 bytes, 1,000,000 are allowed"),
        ({"sha256": "0" * 64}, "not what its length and SHA-256 say"),
        ({"length_bytes": 70_000}, r"usage-events\[0\] offset 7 is gone"),
        ({"origin": Origin(topic="priced-usage", partition=0, offset=0, index=0)}, "priced-usage, which is no input"),
    ],
)
async def test_what_cannot_be_redriven_says_why(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(HeldBack, match=why):
        await redriven(filed(letter(b"{}", 7, **changes)), nothing_there, PARTITIONS)


async def test_an_event_of_an_array_is_read_out_of_it() -> None:
    large = as_json(event("large", padding="x" * 70_000))
    array = b"[" + as_json(event("small")) + b", " + large + b"]"

    async def there(_origin: Origin) -> bytes | None:
        return array

    one = letter(large, 7, origin=Origin(topic="usage-events", partition=0, offset=7, index=1))
    assert (await redriven(filed(one), there, PARTITIONS)).value == large
    for index in (0, 2):
        other = one.model_copy(update={"origin": Origin(topic="usage-events", partition=0, offset=7, index=index)})
        with pytest.raises(HeldBack, match="something else"):
            await redriven(filed(other), there, PARTITIONS)
    whole = letter(array, 7)
    assert (await redriven(filed(whole), there, PARTITIONS)).value == array


@pytest.mark.parametrize("raw", [as_json(event()), as_json([event("b", occurred_at=later(NOON, days=3)), event()])])
def test_what_the_ledger_may_have_forgotten_is_held_back(raw: bytes) -> None:
    """It remembers an event 36 days from when it took it, which is no earlier than when it occurred."""
    one = letter(raw, 7)
    check_remembered(one, raw, micros(later(NOON, days=35)), 35)
    with pytest.raises(HeldBack, match="of 2026-05-10T12:00:00Z, and the ledger remembers for 35 days"):
        check_remembered(one, raw, micros(later(NOON, days=35, micros=1)), 35)


def test_what_is_no_event_is_nothing_the_ledger_could_forget() -> None:
    check_remembered(letter(b"{", 7), b"{", micros(later(NOON, days=900)), 35)


def test_a_command_may_be_forgotten_from_its_arrival_on() -> None:
    one = letter(b"{", 7, topic="account-commands", arrived_at_micros=micros(NOON))
    check_remembered(one, b"{", micros(later(NOON, days=35)), 35)
    with pytest.raises(HeldBack, match="remembers for 35 days"):
        check_remembered(one, b"{", micros(later(NOON, days=36)), 35)


# What the ledger makes of it.


def written_again(ledger: LedgerInMemory, one: DeadLetter, at: str) -> None:
    origin = one.origin
    text = f"{origin.topic}/{origin.partition}/{origin.offset}/{origin.index}"
    headers = [(ARRIVAL_HEADER, b"%d" % one.arrived_at_micros), (ORIGIN_HEADER, text.encode())]
    ledger.usage(base64.b64decode(one.payload), at=at, headers=headers)


def test_refused_again_it_is_another_dead_letter_of_the_same_origin_and_arrival() -> None:
    ledger = acme()
    ledger.usage(event(model="claude-99"))
    (first,) = ledger.dead_letters
    written_again(ledger, first, later(NOON, days=20))
    _, again = ledger.dead_letters
    assert (again.origin, again.arrived_at_micros) == (first.origin, first.arrived_at_micros)
    assert again.dead_letter_id == letter_id("usage-events", 0, 1, 0) != first.dead_letter_id


@pytest.mark.parametrize("case", [*NOT_JSON, *ITEMS, *UNTIMELY], ids=lambda case: case.name)
def test_where_redriving_cannot_help_it_is_refused_for_the_same_reason(case: Bad) -> None:
    ledger = acme()
    ledger.usage(case.raw)
    for one in ledger.dead_letters:
        if not REMEDIES[one.reason].by_redriving and one.length_bytes <= KEPT_BYTES:
            written_again(ledger, one, later(NOON, days=20))
            assert ledger.dead_letters[-1].reason is one.reason


def test_an_array_that_is_redriven_whole_gives_each_event_its_own_origin() -> None:
    """After a bug of ours in reading it, for example."""
    ledger = acme()
    array = as_json([searches("a", 1), searches("b", -1), searches("c", 1)])
    headers = [(ARRIVAL_HEADER, b"%d" % micros(NOON)), (ORIGIN_HEADER, b"usage-events/0/77/0")]
    ledger.usage(array, at=later(NOON, days=1), headers=headers)
    assert [(row.event_id, row.origin_offset, row.origin_index) for row in ledger.rows] == [("a", 77, 0), ("c", 77, 2)]
    assert [one.origin.index for one in ledger.dead_letters] == [1]


def test_an_origin_in_the_other_input_is_not_believed() -> None:
    """Else whoever may write usage could have an operator write a command for them (R1)."""
    ledger = acme()
    ledger.usage(b"{", headers=[(ORIGIN_HEADER, b"account-commands/0/0/0")])
    (one,) = ledger.dead_letters
    assert one.origin == Origin(topic="usage-events", partition=0, offset=0, index=0)


# What people and programs are shown.


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
        (b'{"a":', '{"a":'),
        ("caf\u00e9".encode()[:-1], "caf"),  # cut in the middle of a character
        (b"\xff\xfe\x00", None),
        (b"[" * 100_000, "[" * 65_536),
        (b"", ""),
    ],
)
def test_a_payload_is_shown_as_text_where_it_is_one(raw: bytes, text: str | None) -> None:
    one = letter(raw, 7)
    document = json.loads(json.dumps(document_of_one(Case(one, None), one)))
    assert document["text"] == text
    assert base64.b64decode(document["payload"]) == raw[:65_536]


def test_nothing_that_a_producer_sent_can_move_a_terminal() -> None:
    assert printable("a\x1b[2J\u202e\nb\x9b") == "a\\x1b[2J\\u202e\nb\\x9b"
