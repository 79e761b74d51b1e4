"""Records that came by a detour (forwarded, redriven): what they set running goes by their own stamp (R43, R44)."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER
from tests.support.builders import (
    BILLING,
    DOLLAR_PICOUSD,
    Wire,
    add_member,
    command,
    later,
    micros,
    register,
    searches,
    set_credits,
)
from tests.support.ledger import LedgerInMemory, Record

EIGHT, NOON, TEN = "2026-05-10T08:00:00Z", "2026-05-10T12:00:00Z", "2026-05-10T22:00:00Z"
HALF_PAST = "2026-05-10T11:30:00Z"

TEN_DOLLARS_RELOADED_AT_FIVE = (
    command("grant_credits", BILLING, command_id="g", amount_usd="10.00", expires_at=None),
    command(
        "set_auto_reload",
        command_id="reload",
        enabled=True,
        threshold_usd="5.00",
        amount_usd="20.00",
        monthly_maximum_usd=None,
    ),
)


def switch(command_id: str) -> Wire:
    return command("set_member_default", command_id=command_id, enabled=True)


def detour(first: str, origin: str) -> list[tuple[str, bytes]]:
    return [(ARRIVAL_HEADER, b"%d" % micros(first)), (ORIGIN_HEADER, origin.encode())]


def told(ledger: LedgerInMemory) -> list[tuple[int, str, Any]]:
    return [
        (event.org_seq, type(event).__name__, getattr(event, "at_micros", None))
        for event in ledger.published("acme")
        if getattr(event, "type", "") != "burn"
    ]


def in_one_chunk_and_in_many(records: Callable[[LedgerInMemory], list[Record]]) -> LedgerInMemory:
    """The ledger, after both came to the same."""
    whole, cut = LedgerInMemory(), LedgerInMemory(chunk_sizes=lambda: 1)
    for ledger in (whole, cut):
        ledger.commands(register(plan="team"), set_credits(), add_member("ann"), at=EIGHT)
        ledger.process(records(ledger))
        ledger.move_to(micros("2026-05-12T12:00:00Z"))
    assert told(whole) == told(cut)
    return cut


def test_a_reload_that_forwarded_usage_asks_for_has_its_24_hours_from_the_records_stamp() -> None:
    def records(ledger: LedgerInMemory) -> list[Record]:
        late = searches("e-2", 700, occurred_at=HALF_PAST)
        return [
            *(ledger.record("commands", wire, micros(NOON)) for wire in TEN_DOLLARS_RELOADED_AT_FIVE),
            ledger.record("usage", searches("e-1", 1, occurred_at=NOON), micros(NOON)),
            ledger.record("usage", late, micros(TEN), detour(HALF_PAST, "usage-events/3/1/0")),
            ledger.record("usage", searches("e-3", 300, occurred_at=NOON), micros("2026-05-11T13:00:00Z")),
            ledger.record("usage", searches("e-4", 1, occurred_at=NOON), micros("2026-05-11T23:00:00Z")),
        ]

    ledger = in_one_chunk_and_in_many(records)
    suspended = [at for _, kind, at in told(ledger) if kind == "AutoReloadSuspended"]
    assert suspended == [micros("2026-05-11T22:00:00Z")]


def test_a_grant_that_expired_on_its_way_is_refused() -> None:
    def records(ledger: LedgerInMemory) -> list[Record]:
        grant = command("grant_credits", BILLING, command_id="g", amount_usd="10.00", expires_at="2026-05-10T20:00:00Z")
        return [
            ledger.record("commands", switch("x"), micros(NOON)),
            ledger.record("commands", grant, micros(TEN), detour(HALF_PAST, "account-commands/3/1/0")),
        ]

    ledger = in_one_chunk_and_in_many(records)
    assert [answer.reason for answer in ledger.answers if hasattr(answer, "reason")] == ["already_expired"]


@pytest.mark.parametrize("reborn", [False, True])
def test_a_stamp_that_goes_back_after_a_detour_counts_as_its_own(reborn: bool) -> None:
    """Where producers stamp (replay mode), the next record may say an earlier time; a restart in between is nothing."""
    ledger = LedgerInMemory(chunk_sizes=lambda: 1, reborn=reborn)
    ledger.commands(register(plan="team"), set_credits(), add_member("ann"), at=EIGHT)
    ledger.commands(*TEN_DOLLARS_RELOADED_AT_FIVE, at=NOON)
    ledger.usage(searches("e-1", 1, occurred_at=NOON), at=TEN, headers=detour(HALF_PAST, "usage-events/3/1/0"))
    ledger.usage(searches("e-2", 700, occurred_at=NOON), at="2026-05-10T20:00:00Z")
    ledger.wait_until("2026-05-12T12:00:00Z")
    suspended = [at for _, kind, at in told(ledger) if kind == "AutoReloadSuspended"]
    assert suspended == [micros("2026-05-11T20:00:00Z")]


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize(("days", "balance"), [(35, 10), (36, 20)])
def test_how_long_a_command_is_known_again_goes_by_no_cut(size: int, days: int, balance: int) -> None:
    """What is old is forgotten some with each chunk: 160 answers take a while (reading 3)."""
    ledger = LedgerInMemory(chunk_sizes=lambda: size)
    ledger.commands(register(plan="team"), *(switch(f"before-{number}") for number in range(160)), at=EIGHT)
    grant = command("grant_credits", BILLING, command_id="g", amount_usd="10.00", expires_at=None)
    ledger.commands(grant, at=EIGHT)
    again = detour(later(EIGHT, days=34), "account-commands/3/1/0")
    comes = micros(later(EIGHT, days=days))
    records = [ledger.record("commands", switch(f"then-{number}"), comes) for number in range(10)]
    ledger.process([*records, ledger.record("commands", grant, comes, again)])
    assert ledger.machine.state.organizations["acme"].wallet.balance_picousd == balance * DOLLAR_PICOUSD
