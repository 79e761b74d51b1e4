"""A usage event charged: its price, its row, its month, the three totals it adds to (R8-R13, R18, R30, R42, R43)."""

import json
from typing import Any

import pytest

from pipeline.agents import ledger_machine
from pipeline.agents.decoding import decode_record
from pipeline.domain.pricing import price_usage
from pipeline.engine.contract import EventFailed, Place
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER
from pipeline.price_book import load_price_book
from schemas.dead_letters import Reason
from schemas.month import Month
from schemas.usage import TOKEN_KINDS, read_event
from tests.support.builders import CENT_PICOUSD as CENT
from tests.support.builders import NOON, add_member, as_json, event, later, micros, register, searches
from tests.support.ledger import LedgerInMemory, acme

EVERYTHING = event(
    "e-9",
    source="chat/eu",
    model="claude-opus-4-6-latest",
    occurred_at="2026-05-10T13:59:59.000001+02:00",
    input_tokens=1_000,
    output_tokens=200,
    cache_read_tokens=50_000,
    cache_write_5m_tokens=4_000,
    cache_write_1h_tokens=3_000,
    web_search_requests=7,
    inference_geo="us",
    processing="batch",
)


def test_a_row_says_all_that_its_event_said_and_what_each_part_cost() -> None:
    ledger = acme()
    ledger.usage(EVERYTHING)
    (row,) = ledger.rows
    assert (row.org_id, row.user_id, row.seat_tier) == ("acme", "ann", "standard")
    assert (row.event_id, row.source, row.product, row.funding) == ("e-9", "chat/eu", "chat", "credits")
    assert (row.processing, row.speed, row.inference_geo) == ("batch", "standard", "us")
    assert row.model == EVERYTHING["model"]  # as the product sent it; the price id begins with its own name
    assert row.price_id == "claude-opus-4-6@2026-03-13+batch+us"
    assert row.occurred_at_micros == micros("2026-05-10T11:59:59.000001Z")
    assert row.arrived_at_micros == micros(NOON)
    assert (row.input_partition, row.input_offset, row.input_index) == (0, 0, 0)
    assert row.origin_topic is None
    # dollars per million tokens are 10**6 picodollars a token; batch halves, us takes 1.1: 0.55 of the list
    assert row.parts_picousd == (
        1_000 * 5_000_000 * 55 // 100,
        200 * 25_000_000 * 55 // 100,
        50_000 * 500_000 * 55 // 100,
        4_000 * 6_250_000 * 55 // 100,
        3_000 * 10_000_000 * 55 // 100,
        7 * CENT,  # no factor on searches
    )
    assert row.cost_picousd == sum(row.parts_picousd)


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-6"])
@pytest.mark.parametrize("speed", ["standard", "fast"])
@pytest.mark.parametrize("prompt_tokens", [200_000, 200_001])
def test_the_quick_way_of_pricing_says_what_the_plain_way_says(model: str, speed: str, prompt_tokens: int) -> None:
    wire = event(model=model, speed=speed, input_tokens=prompt_tokens, output_tokens=3, web_search_requests=1)
    ledger = acme()
    ledger.usage(wire)
    if speed == "fast" and model != "claude-opus-4-6":
        assert [letter.reason for letter in ledger.dead_letters] == [Reason.UNPRICED]
        return
    (row,) = ledger.rows
    plain = price_usage(read_event(wire), load_price_book())
    assert (row.price_id, row.cost_picousd) == (plain.rates.price_id, plain.cost_picousd)


def test_text_of_any_kind_survives_being_written_by_hand() -> None:
    ledger = acme()
    odd = r"""!"#$%&'()*+,-./\{}[]`~"""
    ledger.commands(add_member(odd))
    ledger.usage(searches(odd, 1, user_id=odd, product=odd, source=odd))
    (row,) = ledger.rows
    assert (row.user_id, row.event_id, row.product, row.source) == (odd, odd, odd, odd)
    assert json.loads(ledger.row_lines[0])["event_id"] == odd
    assert ledger.spend_picousd("member_month", "acme", odd, "2026-05") == CENT
    ledger.restart()
    ledger.usage(searches("next", 1, user_id=odd))
    assert ledger.spend_picousd("member_month", "acme", odd, "2026-05") == 2 * CENT


def test_defaults_and_nothing_are_left_out_of_a_row() -> None:
    ledger = acme()
    ledger.usage(event())
    assert set(json.loads(ledger.row_lines[0])) == {
        *("org_id", "org_seq", "user_id", "seat_tier", "event_id", "product", "model", "price_id", "rates_picousd"),
        *("occurred_at", "arrived_at", "usage_month", "charge_month", "funding", "cost_picousd"),
        *("input_partition", "input_offset"),
    }


def test_an_event_adds_to_its_member_their_tier_and_the_organisation_alike() -> None:
    ledger = acme()
    ledger.commands(add_member("bob", seat_tier="premium"), add_member("cem", seat_tier="premium"))
    ledger.usage(searches("a", 1), searches("b", 20, user_id="bob"), searches("c", 300, user_id="cem"))
    ledger.usage(searches("d", 4_000))
    spend = ledger.spend_picousd
    assert [spend("member_month", "acme", who, "2026-05") for who in ("ann", "bob", "cem")] == [
        4_001 * CENT,
        20 * CENT,
        300 * CENT,
    ]
    assert spend("tier_month", "acme", "2026-05", "standard") == 4_001 * CENT
    assert spend("tier_month", "acme", "2026-05", "premium") == 320 * CENT
    assert spend("organization_month", "acme", "2026-05") == 4_321 * CENT
    assert ledger.cell("organization_month", "acme", "2026-05")["rows"] == 4


@pytest.mark.parametrize(
    ("occurred_at", "month"),
    [
        ("2026-05-31T23:59:59.999999Z", Month(2026, 5)),
        ("2026-06-01T00:00:00Z", Month(2026, 6)),
        ("2026-06-01T01:00:00+02:00", Month(2026, 5)),
    ],
)
def test_usage_counts_in_the_month_in_which_it_occurred(occurred_at: str, month: Month) -> None:
    ledger = acme()
    ledger.usage(searches("a", 5, occurred_at=occurred_at), at="2026-06-01T00:00:10Z")
    (row,) = ledger.rows
    assert row.usage_month == row.charge_month == month
    assert ledger.spend_picousd("organization_month", "acme", str(month)) == 5 * CENT


def test_price_follows_the_instant_it_occurred() -> None:
    """Opus 4.6 had a long-context price until 2026-03-13 (R10, R20a)."""
    ledger = LedgerInMemory()
    ledger.commands(register(), add_member("ann"), at="2026-03-01T00:00:00Z")
    long = {"model": "claude-opus-4-6", "input_tokens": 200_001}
    ledger.usage(
        event("before", occurred_at="2026-03-12T23:59:59.999999Z", **long),
        event("after", occurred_at="2026-03-13T00:00:00Z", **long),
        at="2026-03-14T00:00:00Z",
    )
    assert [row.cost_picousd for row in ledger.rows] == [200_001 * 10_000_000, 200_001 * 5_000_000]


def test_an_event_found_in_the_wrong_partition_is_handed_on_and_nothing_else() -> None:
    here = partition_of(b"acme", 4)
    ledger = LedgerInMemory(partition=(here + 1) % 4, partitions=4)
    theirs, broken = as_json(searches("a", 5)), b'{"org_id": "acme"}'
    ledger.usage(b"[" + theirs + b"," + broken + b"," + theirs + b"]")
    assert [(forward.key, forward.value, forward.index) for forward in ledger.forwards] == [
        (b"acme", theirs, 0),
        (b"acme", theirs, 2),  # not told apart here: that is done where it is at home
    ]
    assert [letter.reason for letter in ledger.dead_letters] == [Reason.INVALID]
    assert (ledger.rows, ledger.identities) == ([], {})
    assert ledger.counters == {"usage_records": 1, "usage_events": 3, "forwarded": 2, "dead_letters": 1}


def test_a_forwarded_event_bears_its_first_arrival_and_origin() -> None:
    ledger = acme()
    first = [(ARRIVAL_HEADER, b"%d" % micros(NOON)), (ORIGIN_HEADER, b"usage-events/3/77/5")]
    ledger.usage(event(), at=later(NOON, hours=1), headers=first)
    (row,) = ledger.rows
    assert row.arrived_at_micros == micros(NOON)
    assert (row.input_partition, row.input_offset, row.input_index) == (0, 0, 0)
    assert (row.origin_topic, row.origin_partition, row.origin_offset, row.origin_index) == ("usage-events", 3, 77, 5)


def test_an_event_over_which_we_stumbled_is_a_dead_letter_and_its_neighbours_are_charged() -> None:
    ledger = acme()
    ledger.quarantined = frozenset({Place("usage", 0, 1)})
    ledger.usage([searches("a", 1), searches("b", 2), searches("c", 4)])
    assert [row.event_id for row in ledger.rows] == ["a", "c"]
    (letter,) = ledger.dead_letters
    assert (letter.reason, letter.event_id, letter.origin.index) == (Reason.INTERNAL_ERROR, "b", 1)
    ledger.quarantined = frozenset()
    ledger.usage(searches("b", 2))
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 7 * CENT


def test_a_record_whose_reading_fails_is_named_and_then_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(value: bytes) -> Any:
        if b'"b"' in value:
            raise ZeroDivisionError("a bug")
        return decode_record(value)

    monkeypatch.setattr(ledger_machine, "decode_singles", lambda values: [stumble(value) for value in values])
    monkeypatch.setattr(ledger_machine, "decode_record", stumble)
    ledger = acme()
    with pytest.raises(EventFailed, match="usage offset 1, event 0: ZeroDivisionError: a bug") as failed:
        ledger.usage(searches("a", 1), searches("b", 2), searches("c", 4))
    ledger = acme()  # its memory is dropped
    ledger.quarantined = frozenset({failed.value.place})
    ledger.usage(searches("a", 1), searches("b", 2), searches("c", 4))
    assert [row.event_id for row in ledger.rows] == ["a", "c"]
    (letter,) = ledger.dead_letters
    assert (letter.reason, letter.origin.offset) == (Reason.INTERNAL_ERROR, 1)


@pytest.mark.parametrize("kind", [*(f"{kind}_tokens" for kind in TOKEN_KINDS), "web_search_requests"])
def test_the_largest_counts_there_may_be_are_charged_exactly(kind: str) -> None:
    ledger = acme()
    most = 100_000 if kind == "web_search_requests" else 100_000_000
    ledger.usage(event(model="claude-opus-4-6", **{kind: most}))
    (row,) = ledger.rows
    assert row.cost_picousd % most == 0
    assert getattr(row, kind) == most
