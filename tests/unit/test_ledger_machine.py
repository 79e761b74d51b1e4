"""The ledger as the engine's machine: identities, chunks, what is counted, what is written (R14, R41, R43, R44)."""

import json
from typing import Any

import pytest
from msgspec import structs

from pipeline.agents import ledger_machine, outputs
from pipeline.engine.contract import Run
from pipeline.engine.journal import EngineCell
from schemas.dead_letters import Reason
from tests.support.bad_input import GOOD_CLOUD_EVENT
from tests.support.builders import (
    NOON,
    add_member,
    as_json,
    cloud_event,
    event,
    micros,
    register,
    searches,
    set_credits,
)
from tests.support.ledger import LedgerInMemory, acme

FIRST = searches("e-1", 5, source="chat", occurred_at=NOON)
AGAIN: dict[str, Any] = {
    "to the byte": FIRST,
    "keys in another order": dict(reversed(FIRST.items())),
    "as a CloudEvent": cloud_event(FIRST),
    "as a CloudEvent with extensions": cloud_event(FIRST, traceparent="00-1", subject="acme"),
    "nulls for what was absent": FIRST | {"processing": None, "speed": None, "inference_geo": None, "corrects": None},
    "defaults for what was absent": FIRST | {"processing": "standard", "speed": "standard", "input_tokens": 0},
    "global for no place": FIRST | {"inference_geo": "global"},
    "another offset, the same instant": FIRST | {"occurred_at": "2026-05-10T05:00:00.000-07:00"},
}
ANOTHER: dict[str, Any] = {
    "a token more": FIRST | {"output_tokens": 1},
    "a microsecond later": FIRST | {"occurred_at": "2026-05-10T12:00:00.000001Z"},
    "another member": FIRST | {"user_id": "bob"},
    "a member nobody knows": FIRST | {"user_id": "zoe"},
    "another product": FIRST | {"product": "cowork"},
    "an alias of the same model": FIRST | {"model": "claude-sonnet-4-6-latest"},
    "included": FIRST | {"funding": "included"},
    "a place": FIRST | {"inference_geo": "us"},
    "batch": FIRST | {"processing": "batch"},
}
NEW: dict[str, Any] = {
    "another id": FIRST | {"event_id": "e-2"},
    "another source": FIRST | {"source": "code"},
    "no source": {name: value for name, value in FIRST.items() if name != "source"},
    "another organisation": FIRST | {"org_id": "globex"},
}
BETWEEN = ["one record", "one chunk", "two groups", "two chunks", "a restart"]


def send_both(ledger: LedgerInMemory, first: Any, second: Any, between: str) -> None:
    if between == "one record":
        ledger.usage([first, second])
    elif between == "one chunk":
        ledger.usage(first, second)
    elif between == "two groups":
        many = [searches(f"filler-{number}", 0) for number in range(ledger_machine.GROUP_EVENTS)]
        ledger.usage([first, *many], second)
        assert ledger.chunks == 2  # the accounts, and this
    else:
        ledger.usage(first)
        if between == "a restart":
            ledger.restart()
        ledger.usage(second)


def ledger_with_two() -> LedgerInMemory:
    ledger = acme()
    ledger.commands(
        add_member("bob"), register("globex"), set_credits(org_id="globex"), add_member("ann", org_id="globex")
    )
    ledger.chunks = 1
    return ledger


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("how", AGAIN)
def test_the_same_event_again_is_counted_and_otherwise_ignored(how: str, between: str) -> None:
    for first, second in ((FIRST, AGAIN[how]), (AGAIN[how], FIRST)):
        ledger = ledger_with_two()
        send_both(ledger, first, second, between)
        assert [row.event_id for row in ledger.rows].count("e-1") == 1
        assert ledger.dead_letters == []
        assert ledger.counters["duplicates"] == 1


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("how", ANOTHER)
def test_another_payload_under_the_same_identity_is_a_conflict(how: str, between: str) -> None:
    ledger = ledger_with_two()
    send_both(ledger, FIRST, ANOTHER[how], between)
    (letter,) = ledger.dead_letters
    assert letter.reason is Reason.CONFLICT
    assert [row.event_id for row in ledger.rows].count("e-1") == 1
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 5 * 10**10


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("how", NEW)
def test_another_identity_is_another_event(how: str, between: str) -> None:
    ledger = ledger_with_two()
    send_both(ledger, FIRST, NEW[how], between)
    assert len([row for row in ledger.rows if row.cost_picousd]) == 2
    assert ledger.dead_letters == []
    assert "duplicates" not in ledger.counters


def test_after_a_conflict_the_first_payload_is_still_the_one() -> None:
    ledger = ledger_with_two()
    ledger.usage(FIRST, ANOTHER["a token more"], FIRST)
    ledger.usage(ANOTHER["a token more"], FIRST)
    assert ledger.counters["duplicates"] == 2
    assert ledger.counters["dead_letters"] == 2


def test_a_retry_within_the_horizon_is_known_also_when_one_chunk_took_weeks_together() -> None:
    """In replay a chunk may span a month: identities are kept from its last arrival on, not from its beginning."""
    ledger = LedgerInMemory()
    first, last = "2026-05-04T00:00:00Z", "2026-05-31T00:00:00Z"
    accounts = [ledger.record("commands", wire, micros(first)) for wire in (register(), add_member("ann"))]
    taken = searches("e-1", 5, occurred_at=last)
    ledger.process([*accounts, ledger.record("usage", taken, micros(last))])
    assert ledger.chunks == 2  # digests fall due between accounts and usage; the clock does not move in a chunk
    ledger.usage(
        event(occurred_at="2026-06-11T00:00:00Z"), at="2026-06-11T00:00:00Z"
    )  # days are forgotten as they pass
    ledger.usage(taken, at="2026-07-05T00:00:00Z")  # exactly 35 days old
    assert ledger.counters["duplicates"] == 1
    cell = EngineCell(mode="replay", partitions=1, usage=1, commands=2, now_micros=micros(first))
    assert cell.identified_micros == micros(first)
    assert structs.replace(cell, usage_arrival_micros=micros(last)).identified_micros == micros(last)
    assert structs.replace(cell, commands_arrival_micros=micros(last)).identified_micros == micros(last)


# Counting.


def test_every_event_read_is_accounted_for() -> None:
    """R41: read = accepted + duplicates + dead letters + forwarded."""
    ledger = acme(partitions=1)
    ledger.usage([FIRST, FIRST, event("bad", input_tokens=-1)], b"{", None, GOOD_CLOUD_EVENT)
    assert ledger.counters["usage_records"] == 4
    assert ledger.counters["usage_events"] == 6
    assert ledger.counters["accepted"] == ledger.counters["rows"] == 2
    assert ledger.counters["duplicates"] == 1
    assert ledger.counters["dead_letters"] == 3


def test_counts_of_a_chunk_are_what_it_added() -> None:
    ledger = acme()
    ledger.usage(searches("a", 1))
    machine = ledger.machine
    machine.begin(micros(NOON), frozenset())
    machine.take(Run("usage", [ledger.record("usage", wire, micros(NOON)) for wire in (FIRST, FIRST)]))
    effects = machine.finish()
    assert effects.counts == {"usage_records": 2, "usage_events": 2, "accepted": 1, "duplicates": 1, "rows": 1}
    assert effects.taken == 2
    assert len(effects.identities) == 1
    ((key, value),) = effects.identities.items()
    assert (len(key), len(value)) == (16, 12)


# What is written.


def test_rows_of_a_chunk_are_one_record_whatever_their_months() -> None:
    ledger = acme()
    machine = ledger.machine
    machine.advance(micros("2026-06-01T00:00:10Z"), budget=10)
    machine.begin(micros("2026-06-01T00:00:10Z"), frozenset())
    wires = [searches("a", 1, occurred_at="2026-05-31T23:59:59Z"), searches("b", 1, occurred_at="2026-06-01T00:00:00Z")]
    machine.take(Run("usage", [ledger.record("usage", wires, micros("2026-06-01T00:00:10Z"))]))
    (output,) = machine.finish().outputs["priced-usage"]
    assert output.key is None
    assert output.value.count(b"\n") == 2
    assert output.value.endswith(b"}\n")


def test_rows_are_cut_before_a_record_grows_too_large() -> None:
    ledger = acme()
    wires = [searches(f"{number:0128d}", 1, source="s" * 128, product="p" * 128) for number in range(2_000)]
    ledger.usage(*(wires[start : start + 500] for start in range(0, 2_000, 500)))
    values = ledger.outputs["priced-usage"]
    assert len(values) > 1
    assert max(map(len, values)) <= outputs.MAX_VALUE_BYTES
    assert [row.event_id for row in ledger.rows] == [wire["event_id"] for wire in wires]


def test_a_chunk_ends_when_it_has_grown_large_and_the_rest_is_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_machine, "MAX_CHUNK_EVENTS", 1_000)
    whole, cut = acme(), acme()
    records = [[searches(f"{record}-{number}", 1) for number in range(250)] for record in range(20)]
    cut.usage(*records)
    monkeypatch.undo()
    whole.usage(*records)
    assert (whole.chunks, cut.chunks) == (2, 5)  # a chunk of accounts; five thousand events, a group beyond 1,000 each
    assert cut.row_lines == whole.row_lines
    assert _as_charged(cut.cells) == _as_charged(whole.cells)


def test_a_chunk_of_nothing_but_duplicates_writes_only_its_counts() -> None:
    ledger = acme()
    ledger.usage(FIRST)
    machine = ledger.machine
    machine.begin(micros(NOON), frozenset())
    machine.take(Run("usage", [ledger.record("usage", FIRST, micros(NOON))]))
    effects = machine.finish()
    assert effects.outputs == {}
    assert list(effects.cells) == [b'["counters"]']
    assert effects.identities == {}


def test_the_journal_is_told_which_prices_and_rules_were_used() -> None:
    versions = acme().machine.versions
    assert set(versions) == {"price_book", "price_book_size", "rules"}


# Order.


def test_what_an_organisation_is_told_is_numbered_without_a_gap() -> None:
    ledger = acme()
    ledger.usage(*(searches(f"e-{number}", 40) for number in range(3)))
    ledger.restart()
    ledger.commands(set_credits(False, command_id="off"))
    ledger.usage(b"{", searches("e-9", 1))
    numbers = [row.org_seq for row in ledger.rows]
    numbers += [envelope["data"]["org_seq"] for envelope in ledger.envelopes("account-events")]
    assert sorted(numbers) == list(range(1, 9))


def test_organisations_are_numbered_each_for_itself() -> None:
    ledger = ledger_with_two()
    ledger.usage(FIRST, FIRST | {"org_id": "globex"})
    assert [(row.org_id, row.org_seq) for row in ledger.rows] == [("acme", 5), ("globex", 4)]


def test_an_array_may_mix_organisations_of_one_partition() -> None:
    ledger = ledger_with_two()
    ledger.usage([FIRST, FIRST | {"org_id": "globex"}, FIRST | {"org_id": "nobody"}])
    assert [row.org_id for row in ledger.rows] == ["acme", "globex"]
    assert [letter.reason for letter in ledger.dead_letters] == [Reason.UNKNOWN_ORGANIZATION]


def test_a_line_of_output_is_plain_json_on_one_line() -> None:
    ledger = acme()
    ledger.usage(as_json(FIRST))
    (line,) = ledger.row_lines
    assert json.loads(line)["cost_picousd"] == str(5 * 10**10)


def _as_charged(cells: dict[bytes, bytes]) -> dict[bytes, dict[str, object]]:
    """Without the spend that was published last: when that is goes by chunks."""
    found = {key: json.loads(value) for key, value in cells.items()}
    return {key: {name: said for name, said in cell.items() if name != "told_picousd"} for key, cell in found.items()}
