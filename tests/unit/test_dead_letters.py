"""Bad input becomes a dead letter with reason, origin, length and hash; the good events beside it go on (R16, R17)."""

import base64
import hashlib
from typing import Any

import pytest

from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER
from schemas.dead_letters import DeadLetter, Origin, Reason
from tests.support.bad_input import GOOD, ITEMS, NOT_JSON, UNTIMELY, Bad, with_field
from tests.support.builders import NOON, as_json, cloud_event, event, later, micros, searches
from tests.support.ledger import LedgerInMemory, acme


def kept(letter: DeadLetter) -> bytes:
    return base64.b64decode(letter.payload)


def assert_is_of(letter: DeadLetter, raw: bytes, offset: int, index: int = 0) -> None:
    assert letter.origin == Origin(topic="usage-events", partition=0, offset=offset, index=index)
    assert letter.length_bytes == len(raw)
    assert letter.sha256 == hashlib.sha256(raw).hexdigest()
    assert kept(letter) == raw[:65_536]
    assert letter.arrived_at_micros == micros(NOON)


@pytest.mark.parametrize("case", [*NOT_JSON, *ITEMS], ids=lambda case: case.name)
def test_a_bad_record_between_good_ones(case: Bad) -> None:
    ledger = acme()
    ledger.usage(searches("before", 1), case.raw, searches("after", 2))
    (letter,) = ledger.dead_letters
    assert letter.reason is case.reason
    assert_is_of(letter, case.raw, offset=1)
    assert [row.event_id for row in ledger.rows] == ["before", "after"]
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 3 * 10**10
    assert (ledger.counters["usage_events"], ledger.counters["accepted"], ledger.counters["dead_letters"]) == (3, 2, 1)


@pytest.mark.parametrize("case", ITEMS, ids=lambda case: case.name)
def test_a_bad_event_between_good_ones_of_one_record(case: Bad) -> None:
    ledger = acme()
    ledger.usage(b"[" + as_json(searches("before", 1)) + b"," + case.raw + b"," + as_json(searches("after", 2)) + b"]")
    (letter,) = ledger.dead_letters
    assert letter.reason is case.reason
    assert_is_of(letter, case.raw, offset=0, index=1)
    assert [(row.event_id, row.input_index) for row in ledger.rows] == [("before", 0), ("after", 2)]


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_bytes(value: bytes | None) -> None:
    ledger = acme()
    ledger.usage(value, searches("after", 2))
    (letter,) = ledger.dead_letters
    assert letter.reason is Reason.MALFORMED
    assert_is_of(letter, b"", offset=0)
    assert len(ledger.rows) == 1


@pytest.mark.parametrize(
    "occurred_at",
    [later(NOON, minutes=5), later(NOON, days=-35), NOON],
    ids=["exactly 5 minutes ahead", "exactly 35 days old", "now"],
)
def test_on_the_boundaries_of_time_an_event_is_still_taken(occurred_at: str) -> None:
    ledger = acme()
    ledger.usage(event(occurred_at=occurred_at))
    assert ledger.dead_letters == []
    assert len(ledger.rows) == 1


@pytest.mark.parametrize("case", UNTIMELY, ids=lambda case: case.name)
def test_age_counts_from_the_first_arrival(case: Bad) -> None:
    """A forwarded or redriven event keeps its first arrival: what was in time once does not grow too old on its way."""
    ledger = acme()
    occurred_at = later(NOON, days=-20)
    first = [(ARRIVAL_HEADER, b"%d" % micros(NOON)), (ORIGIN_HEADER, b"usage-events/3/77/5")]
    ledger.usage(event("other", occurred_at=occurred_at), case.raw, at=later(NOON, days=30), headers=first)
    (row,) = ledger.rows
    assert row.arrived_at_micros == micros(NOON)
    (letter,) = ledger.dead_letters
    assert letter.reason is case.reason
    assert letter.origin == Origin(topic="usage-events", partition=3, offset=77, index=5)


@pytest.mark.parametrize(
    "headers",
    [
        [(ARRIVAL_HEADER, b"9" * 5_000)],
        [(ARRIVAL_HEADER, b"9" * 18)],  # the year 33658
        [(ARRIVAL_HEADER, b"-1")],
        [(ARRIVAL_HEADER, b"\xff")],
        [(ORIGIN_HEADER, b"usage-events/0/0/" + b"9" * 5_000)],
        [(ORIGIN_HEADER, b"\xff/x/y/z")],
        [(ORIGIN_HEADER, b"")],
    ],
)
def test_headers_nobody_should_trust_do_no_harm(headers: list[tuple[str, bytes]]) -> None:
    ledger = acme()
    ledger.usage(searches("good", 1), b"{", headers=headers)
    (row,) = ledger.rows
    (letter,) = ledger.dead_letters
    assert row.arrived_at_micros == letter.arrived_at_micros == micros(NOON)
    assert letter.origin == Origin(topic="usage-events", partition=0, offset=1, index=0)


def test_at_a_million_bytes_a_record_is_taken_and_at_one_more_it_is_a_dead_letter() -> None:
    ledger = acme()
    largest, too_large = (as_json(searches(name, 1)).ljust(size) for name, size in (("a", 10**6), ("b", 10**6 + 1)))
    ledger.usage(largest, too_large, searches("c", 1))
    assert [row.event_id for row in ledger.rows] == ["a", "c"]
    (letter,) = ledger.dead_letters
    assert letter.reason is Reason.TOO_LARGE
    assert_is_of(letter, too_large, offset=1)


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537])
def test_at_most_the_first_64_kib_are_kept_and_the_hash_is_of_all(length: int) -> None:
    ledger = acme()
    raw = b"x" * (length - 1) + b"y"
    ledger.usage(raw)
    (letter,) = ledger.dead_letters
    assert_is_of(letter, raw, offset=0)
    assert len(kept(letter)) == min(length, 65_536)


def test_no_dead_letter_is_too_large_for_its_topic() -> None:
    ledger = acme()
    ledger.usage(with_field("x" * 500_000, "1"), with_field("corrects", '"' + "x" * 900_000 + '"'), b"[" * 10**6)
    assert len(ledger.dead_letters) == 3
    assert max(map(len, ledger.outputs["dead-letters"])) < 100_000


def test_an_array_of_ten_thousand_bad_events_is_ten_thousand_dead_letters() -> None:
    ledger = acme()
    ledger.usage(b"[" + b",".join(b'{"event_id":"%d"}' % number for number in range(10_000)) + b"]", event())
    letters = ledger.dead_letters
    assert [letter.origin.index for letter in letters] == list(range(10_000))
    assert len({letter.dead_letter_id for letter in letters}) == 10_000
    assert len(ledger.rows) == 1


def test_an_array_of_ten_thousand_and_one_events_is_one_dead_letter() -> None:
    ledger = acme()
    raw = b"[" + b",".join([b"1"] * 10_001) + b"]"
    ledger.usage(raw, event())
    (letter,) = ledger.dead_letters
    assert letter.reason is Reason.TOO_LARGE
    assert_is_of(letter, raw, offset=0)
    assert len(ledger.rows) == 1


@pytest.mark.parametrize("make", [dict, lambda wire: cloud_event(wire | {"source": "s"})], ids=["bare", "CloudEvent"])
def test_whose_it_was_and_how_many_tokens_it_had_can_be_read(make: Any) -> None:
    """Unbilled usage shows per organisation (R16)."""
    ledger = acme()
    counts = {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_5m_tokens": 4}
    ledger.usage(
        make(event("bad", output_token=7, cache_write_1h_tokens=5, **counts)),
        make(event("unknown", model="claude-99", cache_write_1h_tokens=5, web_search_requests=100, **counts)),
    )
    bad, unknown = ledger.dead_letters
    assert (bad.reason, unknown.reason) == (Reason.UNKNOWN_FIELD, Reason.UNKNOWN_MODEL)
    for letter, event_id in ((bad, "bad"), (unknown, "unknown")):
        assert (letter.org_id, letter.user_id, letter.event_id) == ("acme", "ann", event_id)
        assert letter.tokens == 1 + 2 + 3 + 4 + 5
    assert (bad.model, unknown.model) == ("claude-sonnet-4-6", "claude-99")


def test_absurd_fields_of_a_bad_event_do_no_harm() -> None:
    ledger = acme()
    ledger.usage(event("e" * 500, org_id={"a": 1}, user_id=7, model=None, input_tokens=-5, output_tokens="5"))
    (letter,) = ledger.dead_letters
    assert (letter.org_id, letter.user_id, letter.event_id, letter.model) == (None, None, "e" * 128, None)
    assert letter.tokens == 0


def test_a_dead_letter_takes_no_identity() -> None:
    """Mended, the event may come again under the same id (R16)."""
    ledger = acme()
    ledger.usage(searches("e-1", 5, model="claude-99"), searches("e-1", -5), searches("e-1", 5))
    assert [letter.reason for letter in ledger.dead_letters] == [Reason.UNKNOWN_MODEL, Reason.INVALID]
    assert [row.event_id for row in ledger.rows] == ["e-1"]


def test_the_same_bad_record_twice_is_two_dead_letters() -> None:
    ledger = acme()
    ledger.usage(b"{", b"{")
    first, second = ledger.dead_letters
    assert first.dead_letter_id != second.dead_letter_id


def test_an_unreadable_command_is_a_dead_letter_and_the_next_one_is_applied() -> None:
    ledger = LedgerInMemory()
    bad: list[bytes | None] = [None, b"", b"{", b"[]", b"5", b"\xff", b'{"command": "drop_tables"}', b"[" * 100_000]
    ledger.commands(*bad, GOOD, at=NOON)
    reasons = [letter.reason for letter in ledger.dead_letters]
    assert reasons == [Reason.MALFORMED] * len(reasons)
    assert [letter.origin.offset for letter in ledger.dead_letters] == list(range(len(bad) + 1))
    assert {letter.origin.topic for letter in ledger.dead_letters} == {"account-commands"}
    assert ledger.counters["commands_unreadable"] == len(bad) + 1
    assert ledger.answers == []
